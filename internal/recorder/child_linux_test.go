package recorder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is recorded is this test binary, as a child by name.

const childVariable = "RECORDER_TEST_CHILD"

var children = map[string]func(){}

// testBinary is asked for while the process has a first thread.
var testBinary, _ = os.Executable()

func TestMain(m *testing.M) {
	name, isChild := os.LookupEnv(childVariable)
	if !isChild {
		os.Exit(m.Run())
	}
	if children[name] == nil {
		check(fmt.Errorf("%s=%s: no child has this name", childVariable, name))
	}
	children[name]()
}

func init() {
	switch os.Getenv(childVariable) {
	case "leaderless", "execer":
		runtime.LockOSThread() // what init holds is the first thread
	}
	children = map[string]func(){
		"none":       func() {},
		"privileges": childPrivileges,
		"pass":       childPass,
		"batch":      childBatch,
		"refused":    childRefused,
		"fork":       childFork,
		"brother":    childBrother,
		"plain":      childPlain,
		"exec":       childExec,
		"threads":    childThreads,
		"busy":       childBusy,
		"status":     childStatus,
		"signal":     childSignal,
		"spin":       childSpin,
		"traced":     childTraced,
		"capable":    childCapable,
		"stop":       childStop,
		"kill":       childKill,
		"hostile":    childHostile,
		"large":      childLarge,
		"huge":       childHuge,
		"secret":     childSecret,
		"uring":      childUring,
		"escape":     childEscape,
		"inherits":   childInherits,
		"pretends":   childPretends,
		"sections":   childSections,
		"restart":    childRestart,
		"steps":      childSteps,
		"parent":     childParent,
		"forbidden":  childForbidden,
		"record":     childRecord,
		"noreadv":    childNoReadv,
		"nodump":     childNoDump,
		"nobody":     childNobody,
		"hidden":     childHidden,
		"hiding":     childHiding,
		"leaderless": childLeaderless,
		"execer":     childExecer,
		"traceme":    childTraceMe,
		"above":      childAbove,
		"tracer":     func() { childTracer(true) },
		"later":      func() { childTracer(false) },
	}
}

func childCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// Without it the runtime's own signals would interrupt calls, and the race
	// detector would sleep at the end.
	cmd.Env = append(os.Environ(), childVariable+"="+name, "GODEBUG=asyncpreemptoff=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

func check(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Fprintf(os.Stderr, "child: %s:%d: %v\n", file, line, err)
		os.Exit(99)
	}
}

func pair(typ int) (a, b int) {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	check(err)
	return p[0], p[1]
}

// A message is a msghdr and what it points to, with an eye on its padding.
type message struct {
	header  [7]uint64 // 56 bytes on 64-bit, of which 28 are used on 32-bit
	iov     [2]unix.Iovec
	payload [8]byte
	control [6]uint64
}

const wordSize = unsafe.Sizeof(uintptr(0))

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func newMessage(payload string, controllen int) *message {
	m := new(message)
	copy(m.payload[:], payload)
	m.iov[0].Base = &m.payload[0]
	m.iov[0].SetLen(3)
	m.iov[1].Base = &m.payload[3]
	m.iov[1].SetLen(5)
	h := m.hdr()
	h.Iov = &m.iov[0]
	h.SetIovlen(2)
	if controllen > 0 {
		h.Control = (*byte)(unsafe.Pointer(&m.control))
		h.SetControllen(controllen)
	}
	return m
}

func (m *message) hdr() *unix.Msghdr { return (*unix.Msghdr)(unsafe.Pointer(&m.header)) }

// rights puts one descriptor into the control buffer, and marks all padding.
func (m *message) rights(fd int) *message {
	for i := range bytesOf(&m.control) {
		bytesOf(&m.control)[i] = 0xc3
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m.control))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4))
	order.PutUint32(bytesOf(&m.control)[unix.SizeofCmsghdr:], uint32(fd))
	return m
}

// dump prints all that the message is made of, as the record has to have it.
func (m *message) dump(label string) {
	h := m.hdr()
	fmt.Printf("%s msghdr %x\n", label, bytesOf(h)[:unsafe.Sizeof(*h)])
	fmt.Printf("%s iovec %x\n", label, bytesOf(&m.iov))
	fmt.Printf("%s payload %x %x\n", label, m.payload[:3], m.payload[3:])
}

func (m *message) dumpControl(label string, n int) {
	fmt.Printf("%s control %x\n", label, bytesOf(&m.control)[:n])
}

func send(sock int, m *message, flags int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(m)), uintptr(flags))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func recv(sock int, m *message, flags int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(m)), uintptr(flags))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// passOne passes a descriptor through a new pair.
func passOne(payload string) {
	a, b := pair(unix.SOCK_STREAM)
	_, err := send(a, newMessage(payload, unix.CmsgSpace(4)).rights(0), 0)
	check(err)
	_, err = recv(b, newMessage("", unix.CmsgSpace(4)), unix.MSG_CMSG_CLOEXEC)
	check(err)
}

// childPass prints every byte of a message that it sends and of the one that
// it receives, before and after.
func childPass() {
	a, b := pair(unix.SOCK_STREAM)
	file, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	check(err)
	out := newMessage("payload!", unix.CmsgSpace(4)).rights(file)
	if wordSize == 8 { // the padding of the header
		order.PutUint32(bytesOf(&out.header)[12:], 0xa1a2a3a4)
		order.PutUint32(bytesOf(&out.header)[52:], 0xb1b2b3b4)
	}
	in := newMessage("stale...", unix.CmsgSpace(4)+4).rights(-1)
	out.dump("send entry")
	out.dumpControl("send entry", unix.CmsgSpace(4))
	in.dump("recv entry")
	in.dumpControl("recv entry", unix.CmsgSpace(4)+4)
	_, err = send(a, out, unix.MSG_NOSIGNAL)
	check(err)
	_, err = recv(b, in, unix.MSG_CMSG_CLOEXEC)
	check(err)
	out.dump("send exit")
	out.dumpControl("send exit", unix.CmsgSpace(4))
	in.dump("recv exit")
	in.dumpControl("recv exit", unix.CmsgSpace(4)+4)
	fmt.Println("numbers", a, b, file, order.Uint32(bytesOf(&in.control)[unix.SizeofCmsghdr:]))
}

// childBatch sends three messages in one call, and has room for four in another.
func childBatch() {
	type mmsghdr struct {
		hdr unix.Msghdr
		_   uint32 // msg_len
	}
	a, b := pair(unix.SOCK_SEQPACKET)
	var out [3]mmsghdr
	for i := range out {
		m := newMessage(strings.Repeat("x", i+1), unix.CmsgSpace(4)).rights(i)
		m.iov[0].SetLen(i + 1)
		m.hdr().SetIovlen(1)
		out[i].hdr = *m.hdr()
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(a), uintptr(unsafe.Pointer(&out)), 3, 0, 0, 0)
	if n != 3 {
		check(errno)
	}
	var in [4]mmsghdr
	for i := range in {
		in[i].hdr = *newMessage("", unix.CmsgSpace(4)).hdr()
	}
	timeout := unix.Timespec{Sec: 1000, Nsec: 5}
	n, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b), uintptr(unsafe.Pointer(&in)), 4, unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&timeout)), 0)
	if n != 3 {
		check(errno)
	}
	runtime.KeepAlive(&out)
	runtime.KeepAlive(&in)
}

// childFork passes, and so do its two children and the child of the second.
func childFork() {
	passOne("parent")
	if len(os.Args) > 1 {
		depth, err := strconv.Atoi(os.Args[1])
		check(err)
		if depth == 0 {
			return
		}
	}
	for _, depth := range []string{"0", "1"} {
		if len(os.Args) > 1 && depth == "1" {
			continue
		}
		check(childCommand("fork", depth).Run())
	}
}

// childBrother passes, and makes a child that is its parent's.
func childBrother() {
	passOne("elder")
	r, w, err := os.Pipe()
	check(err)
	cmd := childCommand("pass")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}
	cmd.Stdout = w
	check(cmd.Start())
	check(w.Close())
	_, err = io.ReadAll(r)
	check(err)
}

// childPlain passes a descriptor between messages without one.
func childPlain() {
	a, b := pair(unix.SOCK_SEQPACKET)
	for _, m := range []*message{newMessage("before", 0), newMessage("with", unix.CmsgSpace(4)).rights(0), newMessage("after", 0)} {
		_, err := send(a, m, 0)
		check(err)
		_, err = recv(b, newMessage("", unix.CmsgSpace(4)), 0)
		check(err)
	}
}

// childExec execs from a thread that is not the first of the process.
func childExec() {
	if len(os.Args) > 1 {
		passOne("after")
		return
	}
	runtime.LockOSThread() // the first thread, so that the other is another
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		passOne("before")
		if unix.Gettid() == unix.Getpid() {
			check(errors.New("still the first thread"))
		}
		check(unix.Exec("/proc/self/exe", []string{"recorder", "again"}, os.Environ()))
	}()
	<-done
}

func childThreads() {
	const threads = 8
	begin, done := make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			runtime.LockOSThread()
			<-begin // not before all have a thread of their own
			passOne("thread")
			done <- struct{}{}
		}()
	}
	for range threads {
		begin <- struct{}{}
	}
	for range threads {
		<-done
	}
}

// childBusy has threads that call until each of them has done so often enough,
// and prints how often that was.
func childBusy() {
	const threads, enough = 6, 200
	var busy atomic.Int32
	busy.Store(threads)
	begin, done := make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			runtime.LockOSThread()
			begin <- struct{}{}
			n := 0
			for ; busy.Load() > 0; n++ {
				_, _ = send(-1, newMessage("x", 0), 0)
				if n == enough {
					busy.Add(-1)
				}
			}
			fmt.Println(unix.Gettid(), n)
			done <- struct{}{}
		}()
	}
	for range threads {
		<-begin
	}
	for range threads {
		<-done
	}
}

func childStatus() {
	status, err := strconv.Atoi(os.Args[1])
	check(err)
	os.Exit(status)
}

// childSignal ends by the signal in its argument, or tells that it came.
func childSignal() {
	n, err := strconv.Atoi(os.Args[1])
	check(err)
	if len(os.Args) > 2 {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.Signal(n))
		fmt.Println("ready")
		<-got
		fmt.Println("got it")
		return
	}
	check(unix.Kill(unix.Getpid(), unix.Signal(n)))
	select {}
}

// childStop looks at a child that stops and goes on, as a shell would.
func childStop() {
	file, err := unix.MemfdCreate("counter", 0)
	check(err)
	check(unix.Ftruncate(file, 4096))
	mem, err := unix.Mmap(file, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(err)
	counter, end := (*atomic.Uint64)(unsafe.Pointer(&mem[0])), (*atomic.Uint64)(unsafe.Pointer(&mem[8]))

	cmd := childCommand("spin")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(file), "counter")}
	check(cmd.Start())
	pid := cmd.Process.Pid
	wait := func(options int) unix.WaitStatus {
		var status unix.WaitStatus
		for {
			if _, err := unix.Wait4(pid, &status, options, nil); err != unix.EINTR {
				check(err)
				return status
			}
		}
	}
	for counter.Load() == 0 {
		runtime.Gosched()
	}
	check(unix.Kill(pid, unix.SIGSTOP))
	if s := wait(unix.WUNTRACED); !s.Stopped() || s.StopSignal() != unix.SIGSTOP {
		check(fmt.Errorf("not stopped: %#x", s))
	}
	before := counter.Load()
	check(childCommand("none").Run()) // time for it to run on, if it does
	if after := counter.Load(); after != before {
		check(fmt.Errorf("it ran on from %d to %d", before, after))
	}
	check(unix.Kill(pid, unix.SIGCONT))
	if s := wait(unix.WCONTINUED); !s.Continued() {
		check(fmt.Errorf("not continued: %#x", s))
	}
	end.Store(1)
	if s := wait(0); !s.Exited() || s.ExitStatus() != 0 {
		check(fmt.Errorf("not ended: %#x", s))
	}
	fmt.Println("stopped, continued, ended")
}

// childSpin counts in shared memory until it is told to end there.
func childSpin() {
	mem, err := unix.Mmap(3, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(err)
	counter, end := (*atomic.Uint64)(unsafe.Pointer(&mem[0])), (*atomic.Uint64)(unsafe.Pointer(&mem[8]))
	for end.Load() == 0 {
		counter.Add(1)
	}
	passOne("end")
}

// childTraced puts in a filter of its own that asks a tracer about getpid.
func childTraced() {
	runtime.LockOSThread()
	filterAll([]unix.SockFilter{
		load(offNr), unless(unix.SYS_GETPID, 1), answer(unix.SECCOMP_RET_TRACE), answer(unix.SECCOMP_RET_ALLOW),
	})
	mark1(1)
	_, _, _ = unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	mark1(0)
}

// filterAll puts a filter on all threads.
func filterAll(prog []unix.SockFilter) {
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		check(errno)
	}
}

// childKill starts a child of its own; both wait for ever.
func childKill() {
	if len(os.Args) == 1 {
		cmd := childCommand("kill", "again")
		cmd.Stdout = os.Stdout
		check(cmd.Start())
	} else {
		fmt.Println("ready")
	}
	select {}
}

// childHostile makes calls whose arguments lie.
func childHostile() {
	a, b := pair(unix.SOCK_DGRAM)
	call := func(nr, fd uintptr, p unsafe.Pointer) { _, _, _ = unix.Syscall(nr, fd, uintptr(p), unix.MSG_DONTWAIT) }
	for _, nr := range []uintptr{unix.SYS_SENDMSG, unix.SYS_RECVMSG} {
		call(nr, uintptr(a), nil)
		call(nr, ^uintptr(0), nil)
		m := newMessage("x", 24)
		m.hdr().Control = nil
		call(nr, uintptr(a), unsafe.Pointer(m))
		m = newMessage("x", 0)
		m.hdr().SetIovlen(1 << 30)
		call(nr, uintptr(a), unsafe.Pointer(m))
		m = newMessage("x", 0)
		m.iov[1].SetLen(1 << 30)
		call(nr, uintptr(a), unsafe.Pointer(m))
		m = newMessage("x", 1<<30)
		call(nr, uintptr(a), unsafe.Pointer(m))
	}
	_, _, _ = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b), 0, ^uintptr(0), 0, 0, 0)

	// A payload whose second half is not there.
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	check(err)
	check(unix.Mprotect(mem[page:], unix.PROT_NONE))
	m := newMessage("01234567", 0)
	m.iov[0].Base = &mem[page-2]
	m.iov[0].SetLen(4)
	call(unix.SYS_SENDMSG, uintptr(a), unsafe.Pointer(m))
}

// childLarge sends many buffers, one of them large.
func childLarge() {
	a, b := pair(unix.SOCK_STREAM)
	iov := make([]unix.Iovec, 1024)
	buf := make([]byte, 1<<16)
	for i := range buf {
		buf[i] = byte(i % 251)
	}
	for i := range iov {
		iov[i].Base = &buf[i]
		iov[i].SetLen(1)
	}
	iov[0].SetLen(len(buf))
	go func() {
		in := make([]byte, 1<<17)
		for n := 0; n < len(buf)+1023; {
			got, err := unix.Read(b, in)
			check(err)
			n += got
		}
		_ = unix.Close(b)
	}()
	hdr := unix.Msghdr{Iov: &iov[0]}
	hdr.SetIovlen(len(iov))
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(a), uintptr(unsafe.Pointer(&hdr)), 0)
	if int(n) != len(buf)+1023 {
		check(errno)
	}
}

// childHuge sends messages of 3 MiB and of 18 buffers of 1 MiB. Its argument is a byte
// that is not 0, counted from the first.
func childHuge() {
	const first, most = 3 << 20, 1 << 20
	mem := make([]byte, first+18*most)
	if len(os.Args) > 1 {
		at, err := strconv.Atoi(os.Args[1])
		check(err)
		mem[at] = 1
	}
	a, b := pair(unix.SOCK_STREAM)
	go func() {
		for in := make([]byte, most); ; {
			if n, err := unix.Read(b, in); n <= 0 {
				check(err)
				return
			}
		}
	}()
	for _, buffers := range [][][]byte{{mem[:first]}, slices.Collect(slices.Chunk(mem[first:], most))} {
		n, err := unix.SendmsgBuffers(a, buffers, nil, nil, 0)
		check(err)
		if len(buffers) == 1 && n != first || len(buffers) > 1 && n != 18*most {
			check(unix.EMSGSIZE)
		}
	}
}

// memfdSecret is memfd_secret(2), which has the same number everywhere.
func memfdSecret() (int, error) {
	fd, _, errno := unix.Syscall(447, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// secretPage is memory that nobody else can read.
func secretPage() []byte {
	fd, err := memfdSecret()
	check(err)
	page := unix.Getpagesize()
	check(unix.Ftruncate(fd, int64(page)))
	mem, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(err)
	return mem
}

// childSecret passes its standard input by memory that nobody else can read, of which its
// argument says what it holds.
func childSecret() {
	mem := secretPage()
	a, b := pair(unix.SOCK_STREAM)
	m := newMessage("in clear", unix.CmsgSpace(4)).rights(0)
	hidden := (*message)(unsafe.Pointer(&mem[0]))
	*hidden = *m
	in := newMessage("", unix.CmsgSpace(4))
	switch os.Args[1] {
	case "control":
		m.hdr().Control = (*byte)(unsafe.Pointer(&hidden.control))
	case "payload":
		copy(hidden.payload[:], os.Args[2])
		m.iov[0].Base, m.iov[1].Base = &hidden.payload[0], &hidden.payload[3]
	case "header":
		m = hidden
	case "received":
		in.hdr().Control = (*byte)(unsafe.Pointer(&hidden.control))
	}
	_, err := send(a, m, 0)
	check(err)
	_, err = recv(b, in, 0)
	check(err)
}

// childUring sets up two rings, as its argument says: "fails" asks for none that there is.
func childUring() {
	var entries uintptr = 1
	if os.Args[1] == "fails" {
		entries = 0
	}
	for range 2 {
		var params [120]byte
		_, _, errno := unix.Syscall(425, entries, uintptr(unsafe.Pointer(&params)), 0)
		if entries > 0 && errno != 0 {
			check(errno)
		}
	}
	if os.Args[1] == "waits" {
		fmt.Println("ready")
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	passOne("hello")
}

// enterUring asks twice for nothing by the ring of a descriptor.
func enterUring(fd int) {
	for range 2 {
		_, _, errno := unix.Syscall6(426, uintptr(fd), 0, 0, 0, 0, 0)
		check(orNil(errno))
	}
}

// childInherits has a ring that it did not set up, as its argument says: "exec" as
// descriptor 3, "taken" from the process of its second argument, in which "waits" has a
// thread wait until the end. "none" enters none.
func childInherits() {
	switch os.Args[1] {
	case "exec":
		enterUring(3)
	case "taken":
		pid, err := strconv.Atoi(os.Args[2])
		check(err)
		pidfd, err := unix.PidfdOpen(pid, 0)
		check(err)
		number, err := strconv.Atoi(os.Args[3])
		check(err)
		fd, err := unix.PidfdGetfd(pidfd, number, 0)
		check(err)
		if len(os.Args) == 4 {
			enterUring(fd)
			break
		}
		tid := make(chan int)
		go func() {
			runtime.LockOSThread()
			tid <- unix.Gettid()
			_, _, _ = unix.Syscall6(426, uintptr(fd), 0, 1, 1, 0, 0) // IORING_ENTER_GETEVENTS, of which there are none
		}()
		for task := fmt.Sprintf("/proc/self/task/%d/", <-tid); ; time.Sleep(time.Millisecond) {
			stat, err := os.ReadFile(task + "stat")
			check(err)
			call, err := os.ReadFile(task + "syscall")
			check(err)
			if bytes.Contains(stat, []byte(") S ")) && bytes.HasPrefix(call, []byte("426 ")) {
				break
			}
		}
	case "none":
		_, _, _ = unix.Syscall6(426, ^uintptr(0), 0, 0, 0, 0, 0)
	}
	passOne("hello")
}

// childPretends receives as many bytes as the call's number, and has before a signal wait
// for it that looks like one of seccomp.
func childPretends() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGSYS - 1) // the highest of the first word is 31
	check(unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
	info := [32]int32{0: int32(unix.SIGSYS), 2: 1} // SYS_SECCOMP
	_, _, errno := unix.Syscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(unix.Getpid()), uintptr(unix.Gettid()), uintptr(unix.SIGSYS), uintptr(unsafe.Pointer(&info)), 0, 0)
	check(orNil(errno))
	a, b := pair(unix.SOCK_STREAM)
	check(unix.Sendmsg(a, make([]byte, unix.SYS_RECVMSG), unix.UnixRights(0), nil, 0))
	_, n, _, _, err := unix.Recvmsg(b, make([]byte, 1000), make([]byte, unix.CmsgSpace(4)), 0)
	check(err)
	if n != unix.CmsgSpace(4) {
		check(unix.EMSGSIZE)
	}
}

// childEscape does, twice, what its argument says, and passes a descriptor.
func childEscape() {
	runtime.LockOSThread()
	prog := []unix.SockFilter{load(offNr), unless(^uint32(0), 1), answer(unix.SECCOMP_RET_ALLOW), answer(unix.SECCOMP_RET_ALLOW)}
	program := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	at := uintptr(unsafe.Pointer(&program))
	made := func(pid uintptr, errno unix.Errno) {
		check(orNil(errno))
		_, err := unix.Wait4(int(pid), nil, 0, nil)
		check(err)
	}
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	for range 2 {
		switch os.Args[1] {
		case "prctl":
			check(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, at, 0, 0))
		case "seccomp":
			_, _, errno := unix.Syscall(unix.SYS_SECCOMP, seccompFilter, 0, at)
			check(orNil(errno))
		case "strict probe": // by which libseccomp learns that there is a strict mode
			_, _, errno := unix.Syscall(unix.SYS_SECCOMP, seccompStrict, 1, 0)
			if errno != unix.EINVAL {
				check(errno)
			}
		case "no filter":
			_ = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0)
		case "clone":
			pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_UNTRACED|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if pid == 0 && errno == 0 { // it has no other thread, for which a call of Go may wait
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			made(pid, errno)
		case "clone3", "clone3 as usual", "clone3 secret", "clone3 secret as usual":
			args := new([8]uint64)
			if strings.Contains(os.Args[1], "secret") {
				args = (*[8]uint64)(unsafe.Pointer(&secretPage()[0]))
			}
			args[4] = uint64(unix.SIGCHLD)
			if !strings.Contains(os.Args[1], "as usual") {
				args[0] = unix.CLONE_UNTRACED
			}
			pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
			if pid == 0 && errno == 0 {
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			made(pid, errno)
		}
	}
	passOne("hello")
}

func orNil(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// mark1 marks a section of the thread.
func mark1(n int) { _, _, _ = unix.RawSyscall(unix.SYS_GETPRIORITY, Mark, uintptr(n), 0) }

// childSections makes calls in and out of two sections, as its argument says.
func childSections() {
	runtime.LockOSThread()
	extra := len(os.Args) > 1 && os.Args[1] == "extra"
	a, b := pair(unix.SOCK_STREAM)
	before, between := newMessage("before", unix.CmsgSpace(4)).rights(0), newMessage("between", 0)
	out, in := newMessage("inside", unix.CmsgSpace(4)).rights(0), newMessage("", unix.CmsgSpace(4))
	buf := make([]byte, 64)
	var pids [2]int
	raw := func(nr uintptr, args ...uintptr) uintptr {
		var a [6]uintptr
		copy(a[:], args)
		n, _, _ := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		return n
	}
	_, _ = send(a, before, 0)
	_, _ = unix.Read(b, buf)

	mark1(1)
	raw(unix.SYS_SENDMSG, uintptr(a), uintptr(unsafe.Pointer(out)))
	if extra {
		length := uint32(4)
		raw(unix.SYS_GETSOCKOPT, uintptr(a), unix.SOL_SOCKET, unix.SO_TYPE, uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&length)))
	}
	raw(unix.SYS_RECVMSG, uintptr(b), uintptr(unsafe.Pointer(in)), unix.MSG_CMSG_CLOEXEC)
	mark1(0)

	_, _ = send(a, between, 0)
	_, _ = unix.Read(b, buf)
	fd := order.Uint32(bytesOf(&in.control)[unix.SizeofCmsghdr:])

	mark1(2)
	pids[0] = int(raw(unix.SYS_GETPID))
	raw(unix.SYS_CLOSE, uintptr(fd))
	raw(unix.SYS_CLOSE, ^uintptr(0))
	raw(unix.SYS_FCNTL, uintptr(a), unix.F_DUPFD_CLOEXEC, 100)
	raw(unix.SYS_WRITE, uintptr(a), uintptr(unsafe.Pointer(&out.payload)), 5)
	raw(unix.SYS_READ, uintptr(b), uintptr(unsafe.Pointer(&buf[0])), 64)
	mark1(0)
	raw(unix.SYS_GETPID)
	runtime.KeepAlive(pids)
}

// childRestart receives; with an argument a signal comes while it waits.
func childRestart() {
	a, b := pair(unix.SOCK_STREAM)
	if len(os.Args) > 1 {
		signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1)
	}
	tid := make(chan int)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		m := newMessage("", unix.CmsgSpace(4))
		tid <- unix.Gettid()
		_, err := recv(b, m, 0)
		check(err)
		close(done)
	}()
	receiver := <-tid
	inside := func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", receiver))
		check(err)
		return strings.HasPrefix(string(text), strconv.Itoa(unix.SYS_RECVMSG)+" ")
	}
	for !inside() {
		runtime.Gosched()
	}
	if len(os.Args) > 1 {
		check(unix.Tgkill(unix.Getpid(), receiver, unix.SIGUSR1))
		// The handler runs on the receiver; then it is inside again.
		for pending(receiver, unix.SIGUSR1) || !inside() {
			runtime.Gosched()
		}
	}
	_, err := send(a, newMessage("restart!", 0), 0)
	check(err)
	<-done
}

func pending(tid int, sig unix.Signal) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	check(err)
	_, after, _ := strings.Cut(string(text), "SigPnd:")
	set, err := strconv.ParseUint(strings.Fields(after)[0], 16, 64)
	check(err)
	return set&(1<<(sig-1)) != 0
}

// childSteps passes a descriptor for each line that it reads, and begins anew
// for a line "exec".
func childSteps() {
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "exec" {
			check(os.Setenv(childVariable, "steps"))
			check(unix.Exec(testBinary, os.Args, os.Environ()))
		}
		passOne(lines.Text())
		fmt.Println("done", lines.Text())
	}
	fmt.Println("end")
}

// childParent is childSteps in a child of a child.
func childParent() {
	cmd := childCommand("steps")
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	check(cmd.Run())
}

// childLeaderless is childSteps on a thread that has outlived the first one.
func childLeaderless() {
	go func() {
		runtime.LockOSThread()
		for !ended(unix.Getpid()) {
			runtime.Gosched()
		}
		childSteps()
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// childExecer is childSteps on a thread that is not the first and has a name.
func childExecer() {
	go func() {
		runtime.LockOSThread()
		check(os.WriteFile("/proc/thread-self/comm", []byte("execer"), 0))
		childSteps()
		os.Exit(0)
	}()
	select {}
}

// childTraceMe passes descriptors until its child, which records it, has ended.
func childTraceMe() {
	cmd := childCommand("above")
	cmd.Stdout = os.Stdout
	check(cmd.Start())
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	for {
		passOne("traced")
		select {
		case err := <-done:
			check(err)
			return
		default:
		}
	}
}

// childAbove records its parent, of whose children it is one.
func childAbove() {
	ctx, letGo := context.WithCancel(context.Background())
	defer letGo()
	got := false
	_, err := Attach(ctx, unix.Getppid(), Options{Handle: func(*Call) {
		got = true
		letGo()
	}})
	fmt.Println(got, err)
}

// childTracer is childSteps, and records a child of its own that does the same: one
// that it has from the beginning, or from the line "trace" on.
func childTracer(now bool) {
	childIn, in, err := os.Pipe()
	check(err)
	out, childOut, err := os.Pipe()
	check(err)
	answers := bufio.NewReader(out)
	answer := func(want string) {
		if line, err := answers.ReadString('\n'); line != want+"\n" {
			check(fmt.Errorf("the child of the child said %q, %v; want %q", line, err, want))
		}
	}
	var ended chan error
	recorded, passed := 0, 0
	trace := func() {
		cmd := childCommand("steps")
		cmd.Stdin, cmd.Stdout = childIn, childOut
		ended = make(chan error, 1)
		go func() {
			calls, err := Record(cmd, Options{})
			check(err)
			recorded = len(calls)
			ended <- err
		}()
		answer("ready")
	}
	if now {
		trace()
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "trace" {
			trace()
		}
		if passOne(lines.Text()); ended != nil {
			_, err := fmt.Fprintln(in, lines.Text())
			check(err)
			answer("done " + lines.Text())
			passed++
		}
		fmt.Println("done", lines.Text())
	}
	check(in.Close())
	check(<-ended)
	if recorded != 2*passed {
		check(fmt.Errorf("%d calls of the child of the child were recorded, want %d", recorded, 2*passed))
	}
	fmt.Println("end")
}

// childForbidden tries to record under a seccomp filter that forbids ptrace.
func childForbidden() {
	forbid(unix.SYS_PTRACE)
	childRecord()
}

// forbid puts a filter on this process that forbids one call.
func forbid(nr uint32) {
	filterAll([]unix.SockFilter{
		load(offNr), unless(nr, 1), answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)), answer(unix.SECCOMP_RET_ALLOW),
	})
}

// childRefused sends under a filter that ends it for that.
func childRefused() {
	filterAll([]unix.SockFilter{
		load(offNr), unless(unix.SYS_SENDMSG, 1), answer(unix.SECCOMP_RET_KILL_PROCESS), answer(unix.SECCOMP_RET_ALLOW),
	})
	passOne("refused")
}

// childNoReadv records where ptrace is allowed, and process_vm_readv is not.
func childNoReadv() {
	forbid(unix.SYS_PROCESS_VM_READV)
	calls, err := Record(childCommand("pass"), Options{})
	for i := range calls {
		data, _ := calls[i].payload(0)
		fmt.Printf("%s %q\n", calls[i].Name(), data)
	}
	fmt.Println(err)
}

func childRecord() {
	_, err := Record(childCommand("none"), Options{})
	fmt.Println(err)
}

// childNoDump cannot be attached to without CAP_SYS_PTRACE.
func childNoDump() {
	check(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	childSteps()
}

// childNobody records as somebody without capabilities.
func childNobody() {
	var log []string
	print := func(cmd *exec.Cmd, o Options) {
		var out strings.Builder
		cmd.Stdout = &out
		calls, err := Record(cmd, o)
		log = append(log, fmt.Sprintf("%d calls, %v, %s", len(calls), err, strings.Join(strings.Fields(out.String()), " ")))
	}
	print(childCommand("pass"), Options{Limit: 1})
	print(childCommand("privileges"), Options{})
	print(childCommand("privileges"), Options{NoFilter: true})
	for _, line := range log {
		fmt.Println(line)
	}
	// Another user's process.
	_, err := Attach(canceled(), unix.Getppid(), Options{})
	fmt.Println(err)
	// One of its own that is not dumpable.
	cmd := childCommand("nodump")
	in, err := cmd.StdinPipe()
	check(err)
	out, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	check(err)
	_, err = Attach(canceled(), cmd.Process.Pid, Options{})
	fmt.Println(err)
	check(in.Close())
	check(cmd.Wait())
}

// childHidden passes a descriptor when it is not dumpable.
func childHidden() {
	check(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	a, _ := pair(unix.SOCK_STREAM)
	_, err := send(a, newMessage("payload!", unix.CmsgSpace(4)).rights(0), 0)
	check(err)
}

// childHiding records, as somebody without capabilities, a process that is not dumpable,
// and compares the record with another of the same.
func childHiding() {
	var spools [2]*Spool
	for i := range spools {
		var err error
		spools[i], err = NewSpool()
		check(err)
		calls, err := Record(childCommand("hidden"), Options{})
		check(err)
		for j := range calls {
			spools[i].Add(&calls[j])
			if i == 0 {
				text, err := calls[j].JSON(false)
				check(err)
				fmt.Printf("%s\n%s\n", calls[j].Text(), text)
			}
		}
	}
	d, err := OfSaid.First(spools[0], spools[1])
	fmt.Println(d != nil, err)
}

// childCapable records with CAP_SYS_PTRACE, and without CAP_SYS_ADMIN.
func childCapable() {
	cmd := childCommand("privileges")
	cmd.Stdout = os.Stdout
	_, err := Record(cmd, Options{})
	check(err)
}

// childPrivileges prints what a filter may have changed.
func childPrivileges() {
	s := status("self")
	fmt.Println("NoNewPrivs:", s["NoNewPrivs"], "Seccomp:", s["Seccomp"])
	var sig int32
	check(unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&sig)), 0, 0, 0))
	fmt.Println("PDEATHSIG:", sig)
	for _, key := range []string{"SigBlk", "SigPnd", "ShdPnd", "SigIgn", "SigCgt"} {
		fmt.Println(key, s[key])
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	check(err)
	return b
}
