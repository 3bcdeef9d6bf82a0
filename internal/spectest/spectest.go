//go:build unix && !aix

package spectest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/display"
)

// Hang is how long a call of a spec may take before it counts as hung.
const Hang = 30 * time.Second

// FDOf returns the descriptor of a file or connection, without changing its mode.
func FDOf(c syscall.Conn) (fd int) {
	ginkgo.GinkgoHelper()
	raw, err := c.SyscallConn()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(raw.Control(func(f uintptr) { fd = int(f) })).To(gomega.Succeed())
	return fd
}

// FillTable fills the descriptor table until the returned function is called.
func FillTable() (empty func()) {
	ginkgo.GinkgoHelper()
	fdtest.Take() // starts the runtime's poller, which has descriptors of its own
	var limit unix.Rlimit
	gomega.Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(gomega.Succeed())
	gomega.Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max})).To(gomega.Succeed())
	return func() { gomega.Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(gomega.Succeed()) }
}

// Stacks returns the stacks of all goroutines.
func Stacks() []byte {
	for buf := make([]byte, 1<<20); ; buf = make([]byte, 2*len(buf)) {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return buf[:n]
		}
	}
}

// OK returns the value of a call, which must succeed.
func OK[T any](value T, err error) T {
	ginkgo.GinkgoHelper()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return value
}

// Second and Third return the error of a call with two or three results.
func Second[T any](_ T, err error) error        { return err }
func Third[T, U any](_ T, _ U, err error) error { return err }

// Count returns a number and what it counts, such as "1 byte" or "2 bytes".
func Count(n int, what string) string { return display.Plural(n, what) }

// UniqueName returns a name that no other spec or process has.
func UniqueName() string {
	return fmt.Sprintf("scm-test-%d-%d", os.Getpid(), names.Add(1))
}

// AbstractName returns an abstract name that no other spec or process has.
func AbstractName() string { return "@" + UniqueName() }

var names atomic.Int64

// CannotEmulate skips a spec under an emulator, for one of the reasons in fdtest.
func CannotEmulate(what string) {
	ginkgo.GinkgoHelper()
	if fdtest.Emulator() != "" {
		ginkgo.Skip(what)
	}
}

// skips finds the reasons of skipped specs, in the order in which the specs ran.
type skips struct{ last string }

// reason returns why a spec was skipped. If BeforeAll called Skip, Ginkgo gives the reason only to the first spec of
// the container.
func (s *skips) reason(spec ginkgo.SpecReport) string {
	if message := spec.Failure.Message; !strings.HasPrefix(message, "Spec skipped because Skip() was called in BeforeAll") {
		s.last = message
	}
	return s.last
}

// printSkips prints the first line of each reason for which specs without one of the labels were skipped.
func printSkips(report ginkgo.Report, labels []string) {
	count, all := map[string]int{}, skips{}
	for _, spec := range report.SpecReports.WithState(types.SpecStateSkipped) {
		reason, _, _ := strings.Cut(all.reason(spec), "\n")
		labelled := slices.ContainsFunc(spec.Labels(), func(l string) bool { return slices.Contains(labels, l) })
		if reason != leftOut && !labelled {
			count[reason]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(count)) {
		fmt.Printf("\nskip: %s (specs: %d)", reason, count[reason])
	}
	if len(count) > 0 {
		fmt.Println()
	}
}

// FindStrace returns the path of strace. If strace is missing or may not trace, it ends the spec.
func FindStrace() string {
	ginkgo.GinkgoHelper()
	strace := fdtest.Program(ginkgo.GinkgoTB(), "strace")
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		reason, _, _ := strings.Cut(string(out), "\n")
		fdtest.Missing(ginkgo.GinkgoTB(), "ptrace", "strace may not trace here: "+reason)
	}
	return strace
}
