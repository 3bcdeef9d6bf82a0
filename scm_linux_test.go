package scm_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// SECURITY.md lists the system calls with which an Expect checks a file.

// traced is a call, and the system calls on descriptors that it must make.
type traced struct {
	name string
	call func(f *fixture)
	want []string
}

var tracedCalls = []traced{
	{"Enforce with a descriptor that is listed twice", func(*fixture) {
		fd, _ := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		_ = scm.Expect{}.Enforce([]int{fd, -1, fd})
	}, []string{"fcntl", "close"}},
	{"Enforce with an Expect that accepts every kind of file", func(f *fixture) {
		_ = scm.Expect{Max: 2, Access: scm.AccessRead, Flags: unix.O_NONBLOCK}.Enforce([]int{f.a, f.b})
	}, []string{"fcntl", "fcntl"}},
	{"Enforce with a socket", func(f *fixture) { _ = single(scm.KindSocket).Enforce([]int{f.a}) },
		[]string{"fcntl", "getsockopt", "getsockopt", "getsockopt"}},
	{"Enforce with a pipe", func(*fixture) {
		var p [2]int
		_ = unix.Pipe2(p[:], unix.O_CLOEXEC)
		_ = single(scm.KindPipe).Enforce(p[:1])
	}, []string{"fcntl", "getsockopt", "statx"}},
	{"Enforce with a sealed memfd", func(*fixture) {
		fd, _ := unix.MemfdCreate("", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		_ = single(scm.KindMemfd).Enforce([]int{fd})
	}, []string{"fcntl", "getsockopt", "statx", "fcntl"}},
	{"Enforce with an eventfd", func(*fixture) {
		fd, _ := unix.Eventfd(0, unix.EFD_CLOEXEC)
		_ = single(scm.KindEventfd).Enforce([]int{fd})
	}, []string{"fcntl", "getsockopt", "statx", "readlinkat"}},
}

// marker makes a system call that fails and that no other code makes.
func marker(text string) { _, _ = unix.Write(-1, []byte(text)) }

var _ = Child("traced", func([]string) {
	runtime.LockOSThread()
	for _, c := range tracedCalls {
		f := newFixture(unix.SOCK_SEQPACKET)
		marker("begin " + c.name)
		c.call(f)
		marker("end")
	}
})

// tracedNames are the system calls that take a socket or a received descriptor. The runtime can make others at any time
// (mmap, epoll, futex).
const tracedNames = "%network,close,fcntl,?fcntl64,ioctl,dup,dup3,fstat,statx,readlinkat,read,write,poll,ppoll"

// systemCall matches strace's line for a system call, which begins with a counter. It does not match the line for a
// signal.
var systemCall = regexp.MustCompile(`^\[ *(\d+)\] (\w+)\(.*\)\s+= -?\d+`)

// trace runs a child under strace, and returns the lines of the thread that set markers.
func trace(child string) []string {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	strace := FindStrace()
	// With one file per thread, the lines of different threads do not mix.
	dir := GinkgoT().TempDir()
	RunChild(ChildUnder(ChildCommand(child), strace,
		"-ff", "-n", "-s", "64", "-e", "trace="+tracedNames, "-o", filepath.Join(dir, "thread")))
	files := ok(filepath.Glob(filepath.Join(dir, "thread.*")))
	for _, name := range files {
		text := ok(os.ReadFile(name))
		if strings.Contains(string(text), `write(-1, "begin `) {
			return strings.Split(string(text), "\n")
		}
	}
	Fail(fmt.Sprintf("the marked thread is in none of %v", files))
	return nil
}

// marked returns the system calls between the markers of that name. Each has the whole line, the number and the name of
// the call.
func marked(lines []string, name string) (calls [][]string) {
	GinkgoHelper()
	inside, seen := false, false
	for _, line := range lines {
		call := systemCall.FindStringSubmatch(line)
		switch {
		case call == nil:
		case hasRaceDetector() && strings.Contains(line, `, "", 0)`): // a call that informs it
		case strings.Contains(line, `"begin `+name+`"`):
			inside, seen = true, true
		case strings.Contains(line, `write(-1, "end"`):
			inside = false
		case inside:
			calls = append(calls, call)
		}
	}
	Expect(seen).To(BeTrue(), "no marker %q", name)
	return calls
}

var _ = Describe("under strace,", Ordered, ContinueOnFailure, func() {
	var lines []string

	BeforeAll(func() { lines = trace("traced") })

	for _, c := range tracedCalls {
		It(c.name+" makes exactly the expected system calls", func() {
			var made []string
			for _, call := range marked(lines, c.name) {
				made = append(made, strings.TrimSuffix(call[2], "64"))
			}
			Expect(made).To(Equal(c.want))
		})
	}
})

var _ = It("a Conn repeats system calls after EINTR, never blocks a thread in one, and raises no signal", func() {
	CannotEmulate(fdtest.Traced)
	strace := FindStrace()
	record := filepath.Join(GinkgoT().TempDir(), "calls")
	// Every other call of a thread is interrupted before it does anything.
	RunChild(ChildUnder(ChildCommand("conn-calls"), strace,
		"-f", "-o", record, "-e", "trace=sendmsg,recvmsg", "-e", "inject=sendmsg,recvmsg:error=EINTR:when=1+2"))

	text := ok(os.ReadFile(record))
	calls := regexp.MustCompile(`(?m) (sendmsg|recvmsg)\(.* (\S+)\)\s+= (-?\d+)( EINTR)?`).FindAllStringSubmatch(string(text), -1)
	interrupted := map[string]int{}
	for _, call := range calls {
		flags := map[string]string{"sendmsg": "MSG_DONTWAIT|MSG_NOSIGNAL", "recvmsg": "MSG_DONTWAIT|MSG_CMSG_CLOEXEC"}[call[1]]
		Expect(call[2]).To(Equal(flags), call[0])
		if call[4] != "" {
			interrupted[call[1]]++
		}
	}
	Expect(interrupted["sendmsg"]).To(BeNumerically(">=", 1))
	Expect(interrupted["recvmsg"]).To(BeNumerically(">=", 1))
})

// conn-calls makes each call of a Conn three times, so that each is interrupted.
var _ = Child("conn-calls", func([]string) {
	for _, network := range []string{"unix", "unixgram", "unixpacket"} {
		a, b := both(scm.Pair(network))
		Expect(a.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		Expect(b.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		p := make([]byte, 8)
		for range 3 {
			Expect(a.Write([]byte("x"))).To(Equal(1))
			Expect(b.Read(p)).To(Equal(1))

			Expect(a.WriteFiles([]byte("x"), os.Stdin)).To(Equal(1))
			n, files := both(b.ReadFiles(p, 1))
			Expect(n).To(Equal(1))
			Expect(files).To(HaveLen(1))

			Expect(a.SendFile("name", os.Stdin)).To(Succeed())
			Expect(Second(b.RecvFile())).To(Succeed())

			m := scm.Message{Buffers: [][]byte{p}}
			Expect(a.Send(&m, 0)).To(Succeed())
			Expect(b.Recv(&m, 0)).To(Succeed())
			Expect(m.N).To(Equal(len(p)))
		}
		for _, c := range []io.Closer{a, b} {
			Expect(c.Close()).To(Succeed())
		}
	}
})

// On 386, s390x and mips, calls on sockets can also be made through socketcall, which x/sys does on the first two. C
// makes the direct call, and so do we.

// directCalls are the system calls that the child "direct" must make, by name and number.
var directCalls = []string{
	fmt.Sprint("sendmsg ", unix.SYS_SENDMSG), fmt.Sprint("recvmsg ", unix.SYS_RECVMSG),
	fmt.Sprint("sendmsg ", unix.SYS_SENDMSG), fmt.Sprint("recvmsg ", unix.SYS_RECVMSG),
}

var _ = Child("direct", func([]string) {
	runtime.LockOSThread()
	f := newFixture(unix.SOCK_SEQPACKET)
	marker("begin direct")
	_, _ = scm.WriteFD(f.a, []byte("x"), 0)
	_, _, _ = scm.ReadFD(f.b, make([]byte, 1))
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: []int{0}, Unpadded: true}
	_ = scm.Send(f.a, &m, 0)
	_ = scm.Recv(f.b, &m, 0)
	marker("end")
})

var _ = It("sends and receives make direct system calls, and never use socketcall", func() {
	if emulator := fdtest.Emulator(); emulator != "" {
		Expect(emulatedCalls(emulator)).To(Equal(directCalls))
		return
	}
	Expect(nativeCalls()).To(Equal(directCalls))
})

// nativeCalls returns the calls that strace recorded. strace gives both kinds the same name. It also checks that Send
// leaves out the padding.
func nativeCalls() (names []string) {
	GinkgoHelper()
	calls := marked(trace("direct"), "direct")
	for _, call := range calls {
		names = append(names, call[2]+" "+call[1])
	}
	Expect(names).To(HaveLen(len(directCalls)))
	Expect(calls[2][0]).To(ContainSubstring(fmt.Sprintf("msg_controllen=%d,", unix.CmsgLen(4))))
	return names
}

// emulatedCalls returns the calls that the emulator logged. It logs those made through socketcall in capitals.
func emulatedCalls(emulator string) (calls []string) {
	GinkgoHelper()
	log := filepath.Join(GinkgoT().TempDir(), "calls")
	cmd := ChildCommand("direct")
	cmd.Args = append([]string{emulator, "-D", log, "-strace"}, cmd.Args[1:]...)
	RunChild(cmd)
	text := ok(os.ReadFile(log))
	numbers := map[string]int{
		"sendmsg": unix.SYS_SENDMSG, "recvmsg": unix.SYS_RECVMSG,
		"sendmmsg": unix.SYS_SENDMMSG, "recvmmsg": unix.SYS_RECVMMSG,
	}
	for _, call := range regexp.MustCompile(`(?i)\b(\w+msg|socketcall)\(`).FindAllStringSubmatch(string(text), -1) {
		calls = append(calls, call[1]+" "+strconv.Itoa(numbers[call[1]]))
	}
	return calls
}

// allocations returns the number of allocations of a call of run. The loop only counts failures, because an assertion
// allocates.
func allocations(run func() bool) float64 {
	GinkgoHelper()
	failures := 0
	n := testing.AllocsPerRun(200, func() {
		if failures == 0 && !run() { // each failed call may leave 253 descriptors open
			failures++
		}
	})
	Expect(failures).To(BeZero(), "calls that failed")
	return n
}

func closeAll(fds []int) bool {
	ok := true
	for _, fd := range fds {
		ok = unix.Close(fd) == nil && ok
	}
	return ok
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("WriteFD and ReadFD do not allocate if the buffers are on the stack", func() {
		fd := f.file()
		Expect(allocations(func() bool {
			var out, in [16]byte
			if n, err := scm.WriteFD(f.a, out[:], fd); n != 16 || err != nil {
				return false
			}
			n, got, err := scm.ReadFD(f.b, in[:])
			return n == 16 && err == nil && unix.Close(got) == nil
		})).To(BeZero())
	})

	It("ReadFD does not allocate if it receives no descriptor", func() {
		Expect(allocations(func() bool {
			var out, in [16]byte
			bufs := [1][]byte{out[:]}
			m := scm.Message{Buffers: bufs[:]}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			n, got, err := scm.ReadFD(f.b, in[:])
			return n == 16 && err == nil && got == -1
		})).To(BeZero())
	})

	for _, c := range []struct{ buffers, fds int }{{1, 0}, {1, 1}, {1, 2}, {1, scm.MaxFDs}, {2, 1}, {8, 1}} {
		It("Send and Recv do not allocate for "+Count(c.buffers, "buffer")+" and "+Count(c.fds, "descriptor")+" on the stack", func() {
			fd := f.file()
			Expect(allocations(func() bool {
				var out, in [8][16]byte
				var bufs [8][]byte
				var sent, received [scm.MaxFDs]int
				for i := range c.fds {
					sent[i] = fd
				}
				for i := range c.buffers {
					bufs[i] = out[i][:]
				}
				m := scm.Message{Buffers: bufs[:c.buffers], FDs: sent[:c.fds]}
				if scm.Send(f.a, &m, 0) != nil {
					return false
				}
				for i := range c.buffers {
					bufs[i] = in[i][:]
				}
				m = scm.Message{Buffers: bufs[:c.buffers], FDs: received[:c.fds]}
				err := scm.Recv(f.b, &m, 0)
				return err == nil && m.N == 16*c.buffers && m.NFD == c.fds && closeAll(m.FDs[:m.NFD])
			})).To(BeZero())
		})
	}

	It("Recv does not allocate if the kernel truncates the control data", func() {
		CannotEmulate(fdtest.NotCut)
		fd := f.file()
		Expect(allocations(func() bool {
			var p [1]byte
			fds := [4]int{fd, fd, fd, fd}
			bufs := [1][]byte{p[:]}
			m := scm.Message{Buffers: bufs[:], FDs: fds[:]}
			if scm.Send(f.a, &m, 0) != nil {
				return false
			}
			m.FDs = fds[:2]
			err := scm.Recv(f.b, &m, 0)
			return err == nil && m.Flags == unix.MSG_CTRUNC && m.NFD == 2 && closeAll(m.FDs)
		})).To(BeZero())
	})
}, everyType)
