//go:build linux

package scm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// 386, s390x and mips have a second way to each call on a socket: socketcall,
// which x/sys takes on the first two. C makes the call itself, and so do we.

// directCalls are what the child "direct" has to make, by name and number.
var directCalls = []string{
	fmt.Sprint("sendmsg ", unix.SYS_SENDMSG), fmt.Sprint("recvmsg ", unix.SYS_RECVMSG),
	fmt.Sprint("sendmsg ", unix.SYS_SENDMSG), fmt.Sprint("recvmsg ", unix.SYS_RECVMSG),
	fmt.Sprint("sendmmsg ", unix.SYS_SENDMMSG), fmt.Sprint("recvmmsg ", unix.SYS_RECVMMSG),
}

var _ = Child("direct", func([]string) {
	runtime.LockOSThread()
	f := newFixture(unix.SOCK_SEQPACKET)
	batch := []scm.Message{{Buffers: [][]byte{make([]byte, 1)}, FDs: []int{0}}}
	marker("begin direct")
	_, _ = scm.WriteFD(f.a, []byte("x"), 0)
	_, _, _ = scm.ReadFD(f.b, make([]byte, 1))
	_ = scm.Send(f.a, &batch[0], 0)
	_ = scm.Recv(f.b, &batch[0], 0)
	batch[0].FDs[0] = 0
	_, _ = scm.SendBatch(f.a, batch, 0)
	_, _ = scm.RecvBatch(f.b, batch, 0)
	marker("end")
})

var _ = Describe("the system call", func() {
	It("is sendmsg and recvmsg, never socketcall", func() {
		if emulator := fdtest.Emulator(); emulator != "" {
			Expect(emulatedCalls(emulator)).To(Equal(directCalls))
			return
		}
		Expect(nativeCalls()).To(Equal(directCalls))
	})
})

// nativeCalls are the calls that strace saw, which shows both ways by the same
// name, and with -n by its number.
func nativeCalls() (calls []string) {
	GinkgoHelper()
	strace := FindStrace()
	dir := GinkgoT().TempDir()
	cmd := ChildCommand("direct")
	program, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd.Path, cmd.Args = strace, []string{strace, "-ff", "-n", "-e", "trace=%network,write", "-o", filepath.Join(dir, "thread"), program}
	RunChild(cmd)
	files, err := filepath.Glob(filepath.Join(dir, "thread.*"))
	Expect(err).NotTo(HaveOccurred())
	for _, name := range files {
		text, err := os.ReadFile(name)
		Expect(err).NotTo(HaveOccurred())
		_, calling, found := strings.Cut(string(text), `write(-1, "begin direct"`)
		if !found {
			continue
		}
		calling, _, _ = strings.Cut(calling, `write(-1, "end"`)
		for _, call := range regexp.MustCompile(`(?m)^\[ *(\d+)\] (\w*msg)\(`).FindAllStringSubmatch(calling, -1) {
			calls = append(calls, call[2]+" "+call[1])
		}
	}
	return calls
}

// emulatedCalls are the calls that the emulator made, which writes those of
// socketcall in capitals.
func emulatedCalls(emulator string) (calls []string) {
	GinkgoHelper()
	log := filepath.Join(GinkgoT().TempDir(), "calls")
	cmd := ChildCommand("direct")
	cmd.Args = append([]string{emulator, "-D", log, "-strace"}, cmd.Args[1:]...)
	RunChild(cmd)
	text, err := os.ReadFile(log)
	Expect(err).NotTo(HaveOccurred())
	numbers := map[string]int{
		"sendmsg": unix.SYS_SENDMSG, "recvmsg": unix.SYS_RECVMSG,
		"sendmmsg": unix.SYS_SENDMMSG, "recvmmsg": unix.SYS_RECVMMSG,
	}
	for _, call := range regexp.MustCompile(`(?i)\b(\w+msg|socketcall)\(`).FindAllStringSubmatch(string(text), -1) {
		calls = append(calls, call[1]+" "+strconv.Itoa(numbers[call[1]]))
	}
	return calls
}
