//go:build linux

package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A soak: everything at once, for as long as SCM_SOAK says, in a process of its own.
// Each file that is sent is the writing end of a pipe: who receives it writes one
// byte, and the reading end tells how often it arrived, and when nobody has it any more.

// soakLimit is the RLIMIT_NOFILE of the process, and what its user may have in flight.
const soakLimit = 1024

// soaked is what the process counted.
type soaked struct {
	Rounds, Arrived, Dropped, Refused, Truncated, Passed, Killed int64
	Full, InFlight                                               int64 // EMFILE, ETOOMANYREFS
	Seed                                                         uint64
}

func soakFor() time.Duration {
	GinkgoHelper()
	text := os.Getenv("SCM_SOAK")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	Expect(err).NotTo(HaveOccurred(), "SCM_SOAK")
	return d
}

// soakCommand is a soak as a user who has limits, and whom nobody else is.
func soakCommand(d time.Duration, fault string) *exec.Cmd {
	GinkgoHelper()
	cmd := ChildCommand("soak", d.String(), strconv.FormatInt(GinkgoRandomSeed(), 10), fault)
	if os.Geteuid() == 0 {
		if err := ReadableByOthers(); err != nil {
			Skip("another user may not run the test binary: " + err.Error())
		}
		user := uint32(1<<30 + os.Getpid())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	return cmd
}

var _ = Describe("soak", Label("soak"), func() {
	BeforeEach(func() { CannotEmulate(fdtest.NotCut) })

	It("ends with what it began with, and every file arrived once or was dropped by the kernel", func() {
		out := RunChild(soakCommand(soakFor(), ""))
		var s soaked
		Expect(json.Unmarshal([]byte(out), &s)).To(Succeed(), out)
		AddReportEntry("soak", strings.TrimSpace(out))
		if os.Getenv("SCM_SOAK") != "" {
			fmt.Printf("soak: %s\n", out)
		}
		Expect(s.Arrived).To(BeNumerically(">", 0))
		Expect(s.Dropped).To(BeNumerically(">", 0))
		Expect(s.Truncated).To(BeNumerically(">", 0))
		Expect(s.Passed).To(BeNumerically(">", 0))
		Expect(s.Killed).To(BeNumerically(">", 0))
		Expect(s.Full).To(BeNumerically(">", 0))
		Expect(s.InFlight).To(BeNumerically(">", 0))
	})

	for _, c := range []struct{ fault, words string }{
		{"number", "descriptors that were not there at first"},
		{"twice", "arrived 2 times"},
		{"kept", "has no end"},
		{"goroutine", "goroutines, and there were"},
		{"child", "a child process is left"},
		{"unsent", "was refused, and arrived"},
	} {
		It("finds a process that breaks the law: "+c.fault, func() {
			out, err := soakCommand(100*time.Millisecond, c.fault).CombinedOutput()
			Expect(err).To(HaveOccurred(), "%s", out)
			Expect(string(out)).To(ContainSubstring(c.words))
		})
	}
})

type soak struct {
	soaked
	fault     string
	until     time.Time
	end       time.Duration // how long a file may take to get its end
	readers   sync.WaitGroup
	lock      sync.Mutex
	wrong     []string
	partners  sync.RWMutex // the limit is not lowered while a process starts
	faultOnce sync.Once
}

func (s *soak) fail(format string, args ...any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if len(s.wrong) < 20 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

// faulty runs f once, in the process that is to be found out by it.
func (s *soak) faulty(name string, f func()) {
	if s.fault == name {
		s.faultOnce.Do(f)
	}
}

// sentFile is a file to send, and the way to hear of it.
type sentFile struct {
	*os.File
	r *os.File
}

// file makes one, or nil at the limit.
func (s *soak) file() *sentFile {
	r, w, err := os.Pipe()
	if err != nil {
		s.ends(err)
		return nil
	}
	return &sentFile{w, r}
}

// files makes up to n.
func (s *soak) files(n int) (files []*sentFile, plain []*os.File) {
	for range n {
		if f := s.file(); f != nil {
			files, plain = append(files, f), append(plain, f.File)
		}
	}
	return files, plain
}

// sent lets go of files after a call that sends. Each has arrived once or not at all
// by the time that nobody has it.
func (s *soak) sent(files []*sentFile, went bool) {
	for _, f := range files {
		if f == nil {
			continue
		}
		s.faulty("unsent", func() { _, _ = f.Write([]byte{0}); went = false })
		_ = f.Close()
		s.readers.Go(func() { s.reads(f.r, went) })
	}
}

func (s *soak) reads(r *os.File, went bool) {
	defer func() { _ = r.Close() }()
	_ = r.SetReadDeadline(time.Now().Add(time.Until(s.until) + s.end))
	arrived, p := 0, make([]byte, 8)
	for {
		n, err := r.Read(p)
		arrived += n
		if err == io.EOF {
			break
		}
		if err != nil {
			s.fail("a file has no end: %v", err)
			return
		}
	}
	switch {
	case !went && arrived > 0:
		s.fail("a file was refused, and arrived")
	case arrived > 1:
		s.fail("a file arrived %d times", arrived)
	case !went:
		atomic.AddInt64(&s.Refused, 1)
	case arrived == 1:
		atomic.AddInt64(&s.Arrived, 1)
	default:
		atomic.AddInt64(&s.Dropped, 1)
	}
}

// received lets the senders know, and closes the files.
func (s *soak) received(files []*os.File) {
	for _, f := range files {
		_ = f.SetWriteDeadline(time.Now().Add(Hang))
		_, _ = f.Write([]byte{0})
		s.faulty("twice", func() { _, _ = f.Write([]byte{0}) })
		s.faulty("kept", func() { _, _ = unix.Dup(int(NumberOf(f))) })
		_ = f.Close()
	}
}

// ends counts an error that a soak must expect, and reports any other.
func (s *soak) ends(err error) {
	var truncated *scm.TruncatedError
	switch {
	case errors.Is(err, unix.EMFILE):
		atomic.AddInt64(&s.Full, 1)
	case errors.Is(err, unix.ETOOMANYREFS):
		atomic.AddInt64(&s.InFlight, 1)
	}
	if errors.As(err, &truncated) {
		atomic.AddInt64(&s.Truncated, 1)
		return
	}
	for _, expected := range []error{
		nil, io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, scm.ErrNoFile, unix.EMFILE, unix.ENFILE, unix.ETOOMANYREFS, unix.EPIPE,
		unix.ECONNRESET, unix.ECONNREFUSED, unix.ENOTCONN, unix.EAGAIN, unix.ENOBUFS, unix.EINTR, unix.EPROTOTYPE,
	} {
		if errors.Is(err, expected) {
			return
		}
	}
	s.fail("%v", err)
}

// The arguments are the time, the seed, and a fault or "".
var _ = Child("soak", func(args []string) {
	d, err := time.ParseDuration(args[0])
	Expect(err).NotTo(HaveOccurred())
	seed, err := strconv.ParseUint(args[1], 10, 64)
	Expect(err).NotTo(HaveOccurred())
	// A collected os.File is closed, which would hide that nobody closed it.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soakLimit, Max: soakLimit})).To(Succeed())

	before, goroutines := fdtest.Take(), runtime.NumGoroutine()
	s := &soak{fault: args[2], until: time.Now().Add(d), end: Hang}
	if s.fault == "kept" {
		s.end = time.Second // to be found out
	}
	s.Seed = seed
	var workers sync.WaitGroup
	for i, network := range []string{"unix", "unixgram", "unixpacket", "unix", "unixgram", "unixpacket"} {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		workers.Go(func() {
			// Once in order, so that a short soak has them all, and then as it comes.
			for _, round := range soakRounds {
				round(s, random, network)
			}
			for time.Now().Before(s.until) {
				soakRounds[random.IntN(len(soakRounds))](s, random, network)
				atomic.AddInt64(&s.Rounds, 1)
			}
		})
	}
	workers.Wait()
	s.faulty("number", func() { _, _ = unix.Dup(0) })
	s.faulty("goroutine", func() { go func() { select {} }() })
	s.faulty("child", func() { Expect(exec.Command("sleep", "9").Start()).To(Succeed()) })
	s.readers.Wait()

	// A process that was waited for is gone; any other would still be a child.
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		s.fail("a child process is left: %d, %v", pid, err)
	}
	for end := time.Now().Add(s.end); runtime.NumGoroutine() > goroutines && time.Now().Before(end) && s.fault == ""; {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		s.fail("%d goroutines, and there were %d:\n%s", n, goroutines, Stacks())
	}
	if left := before.NewSince(); len(left) > 0 && s.fault != "child" {
		s.fail("descriptors that were not there at first: %v", left)
	}
	for fd := range before {
		if !fdtest.IsOpen(fd) {
			s.fail("%d was closed", fd)
		}
	}
	Expect(s.wrong).To(BeEmpty(), "seed %d", seed)
	Expect(json.NewEncoder(os.Stdout).Encode(s.soaked)).To(Succeed())
})
