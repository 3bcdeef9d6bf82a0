package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

// The test binary runs as scm, or as a program to trace, under these names.
const (
	scmChild = "scm"

	// The stub of scmOtherThread calls recorder.Main on a thread that is not its first.
	scmOtherThread = "scm with a stub that begins on another thread"
)

func init() {
	if reexec.Name() == scmOtherThread {
		_ = os.Setenv(reexec.Variable, scmChild) // for the stub, which executes itself again
		done := make(chan struct{})
		go func() { // inits are locked to the first thread
			recorder.Main()
			close(done)
		}()
		<-done
		_ = os.Setenv(reexec.Variable, scmOtherThread) // this process is scm and will start the stub
	} else {
		recorder.Main()
	}
	for _, name := range []string{scmChild, scmOtherThread} {
		reexec.Register(name, func(args []string) { os.Exit(run(args)) })
	}
	for name, run := range tracees {
		reexec.Register(name, func([]string) {
			if err := run(); err != nil {
				fmt.Fprintln(os.Stderr, "child:", err)
				os.Exit(99)
			}
		})
	}
	if tracees[reexec.Name()] != nil {
		runtime.LockOSThread() // scm diff reports calls on several threads
	}
}

var tracees = map[string]func() error{
	"pass":  func() error { return pass([]byte("hello"), scm.Send) },
	"flag":  func() error { return pass([]byte("hello"), sendWithFlag) },
	"twice": func() error { return errors.Join(pass([]byte("hello"), scm.Send), pass([]byte("hello"), scm.Send)) },
	"nth": func() error { // each run, which the file os.Args[1] counts, sends another argument; later ones send the last
		runs, _ := os.ReadFile(os.Args[1])
		err := os.WriteFile(os.Args[1], append(runs, 'x'), 0o600)
		return errors.Join(err, pass([]byte(os.Args[min(2+len(runs), len(os.Args)-1)]), scm.Send))
	},
	"nonce": func() error { // other bytes in each run, which the file os.Args[1] counts
		runs, _ := os.ReadFile(os.Args[1]) // missing in the first run
		err := os.WriteFile(os.Args[1], append(runs, 'x'), 0o600)
		return errors.Join(err, pass([]byte("a"+strings.Repeat(string(rune('A'+len(runs))), 3)+os.Args[2]), scm.Send))
	},
	"to": func() error { // at os.Args[1], a name without a receiver
		sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		_ = unix.Sendmsg(sock, []byte{0}, nil, &unix.SockaddrUnix{Name: "@" + os.Args[1]}, 0)
		return err
	},
	"plain": func() error { return nil },
	"send":  func() error { return pass([]byte(os.Args[1]), scm.Send) },
	"threads": func() error {
		done := make(chan error)
		go func() { // on another thread: this one is locked
			done <- pass([]byte("hello"), scm.Send)
		}()
		return errors.Join(<-done, pass([]byte("hello"), scm.Send))
	},
	"clear":         func() error { return passUnset(0, 0) },
	"unset":         func() error { return passUnset(0x5a, 0) },
	"end of record": func() error { return passUnset(0, unix.MSG_EOR) },

	"leak one":           func() error { return receiveTwo(1, 0) },
	"leak two":           func() error { return receiveTwo(2, 0) },
	"leak two at a flag": func() error { return receiveTwo(2, unix.MSG_DONTWAIT) },
	"pass on": func() error {
		if err := receiveTwo(1, 0); err != nil {
			return err
		}
		return unix.Exec("/bin/true", []string{"true"}, nil)
	},
	"leak deleted": leakDeleted,
	"clients":      clients,
	"serve":        serve,
	"named":        passNamed,
	"timed":        timed,

	"room":    func() error { return sendAtOnce(false) },
	"no room": func() error { return sendAtOnce(true) },

	"a minute": func() error { return receiveWithin(time.Minute) },
	"an hour":  func() error { return receiveWithin(time.Hour) },

	"early": func() error { return receiveAtOnce(false) },
	"late":  func() error { return receiveAtOnce(true) },

	"without a witness": withoutWitness,
	"shared table":      sharedTable,
	"without ptrace":    withoutPtrace,
	"without kcmp":      func() error { return without(unix.ENOSYS, unix.SYS_KCMP) }, // as in gVisor

	"secret":      func() error { return passSecret(scm.Send) },
	"secret flag": func() error { return passSecret(sendWithFlag) },
	"echo": func() error {
		text, err := io.ReadAll(os.Stdin)
		return errors.Join(err, pass(text, scm.Send))
	},
	"handle": func() error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
		fmt.Println("ready")
		fmt.Println(<-got)
		os.Exit(3)
		return nil
	},
	"wait": func() error {
		if len(os.Args) == 1 {
			cmd := reexec.Command("wait", "child")
			cmd.Stdout = os.Stdout
			if err := cmd.Start(); err != nil {
				return err
			}
		} else {
			fmt.Println("ready")
		}
		reexec.Forever()
		return nil
	},
	"lines": func() error {
		fmt.Println("ready")
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			err := pass(lines.Bytes(), scm.Send)
			if lines.Text() == "leak" {
				err = errors.Join(err, receiveTwo(1, 0))
			}
			if err != nil {
				return err
			}
			fmt.Println("done")
		}
		return nil
	},
}

// socketPair returns two connected sockets of this type.
func socketPair(socketType int) [2]int {
	p, err := unix.Socketpair(unix.AF_UNIX, socketType|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return p
}

// pass sends the descriptor of standard input to itself, and receives it.
func pass(payload []byte, send func(sock int, m *scm.Message, flags int) error) error {
	p := socketPair(unix.SOCK_SEQPACKET)
	if err := send(p[0], &scm.Message{Buffers: [][]byte{payload}, FDs: []int{0}}, 0); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 1)}
	err := scm.Recv(p[1], &m, 0)
	m.Close()
	return err
}

// passSecret passes a descriptor with a payload that a tracer cannot read.
func passSecret(send func(sock int, m *scm.Message, flags int) error) error {
	mem, err := secretMemory()
	if err != nil {
		return err
	}
	copy(mem, "hello")
	return pass(mem[:5], send)
}

// passUnset passes a descriptor with each of the four calls. Whatever the kernel ignores has the value unset. recvmmsg
// has a second header, for which there is no message. flags is the msg_flags of sendmmsg.
func passUnset(unset byte, flags int32) error {
	p := socketPair(unix.SOCK_SEQPACKET)
	control := unix.UnixRights(0)
	for i := unix.CmsgLen(4); i < len(control); i++ {
		control[i] = unset
	}
	iov := unix.Iovec{Base: new(byte)}
	iov.SetLen(1)
	for i, call := range []uintptr{unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG} {
		var m [2]mmsghdr
		for j, b := 0, unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)); j < len(b); j++ {
			b[j] = unset
		}
		for j := range m {
			h := &m[j].hdr
			h.Name, h.Iov, h.Control = nil, &iov, &control[0]
			h.SetIovlen(1)
			h.SetControllen(len(control))
			if call == unix.SYS_SENDMMSG {
				h.Flags = flags
			}
		}
		// The third argument is the number of messages in sendmmsg and recvmmsg, and the flags in the other two.
		third, fourth := []uintptr{0, 0, 1, 2}[i], []uintptr{0, 0, 0, unix.MSG_DONTWAIT}[i]
		if _, _, errno := unix.Syscall6(call, uintptr(p[i%2]), uintptr(unsafe.Pointer(&m)), third, fourth, 0, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// leakDeleted receives the descriptor of a file, leaves it open, and deletes the file.
func leakDeleted() error {
	f, err := os.CreateTemp("", "scm")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	p := socketPair(unix.SOCK_STREAM)
	_, sent := scm.WriteFD(p[0], []byte{0}, int(f.Fd()))
	_, _, received := scm.ReadFD(p[1], []byte{0})
	return errors.Join(sent, received, f.Close())
}

// receiveTwo receives the descriptor of standard input and one for /dev/null, and leaves one or both of them
// open, without close-on-exec.
func receiveTwo(leaked, flags int) error {
	p := socketPair(unix.SOCK_SEQPACKET)
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := scm.Send(p[0], &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{0, null}}, 0); err != nil {
		return err
	}
	if err := unix.Close(null); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, 2)}
	if err := scm.Recv(p[1], &m, flags); err != nil {
		return err
	}
	for _, fd := range m.FDs {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	scm.CloseFDs(m.FDs[:2-leaked]...)
	return nil
}

// clients passes a descriptor twice over each of two connections, one after the other. Each server serves os.Args[1]
// connections.
func clients() error {
	connections, err := strconv.Atoi(os.Args[1])
	for i := 0; i < 2 && err == nil; i += connections {
		cmd := reexec.Command("serve", os.Args[1:]...)
		var ends []int
		for range connections {
			p := socketPair(unix.SOCK_STREAM)
			ends = append(ends, p[0])
			cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(p[1]), "socket"))
		}
		err = errors.Join(err, cmd.Start())
		for i := range 2 * connections {
			end := ends[i/2]
			_, sent := scm.WriteFD(end, []byte{0}, 0)
			_, fd, received := scm.ReadFD(end, []byte{0})
			err = errors.Join(err, sent, received, unix.Close(fd))
		}
		err = errors.Join(err, cmd.Wait())
	}
	return err
}

// serve receives a descriptor twice over each of os.Args[1] connections, and sends one back. os.Args[2] is a fault.
func serve() error {
	connections, err := strconv.Atoi(os.Args[1])
	for i := range 2 * connections {
		sock := 3 + i/2
		_, fd, received := scm.ReadFD(sock, []byte{0})
		null, opened := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		_, sent := scm.WriteFD(sock, []byte{0}, null)
		err = errors.Join(err, received, opened, sent, unix.Close(null))
		switch os.Args[2] {
		case "leak":
			continue
		case "extra":
			_, sent = scm.WriteFD(sock, []byte{0}, 0)
		}
		err = errors.Join(err, sent, unix.Close(fd))
	}
	return err
}

// sendAtOnce sends without waiting, into a socket that may be full.
func sendAtOnce(full bool) error {
	p := socketPair(unix.SOCK_STREAM | unix.SOCK_NONBLOCK)
	for full {
		_, err := unix.Write(p[0], make([]byte, 1<<16))
		full = err == nil
	}
	err := scm.Send(p[0], &scm.Message{Buffers: [][]byte{{1}}, FDs: []int{0}}, unix.MSG_DONTWAIT)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	return nil
}

// timed receives messages with a timestamp, sends its process ID by UDP, and receives with a timeout. The
// bytes of all three differ from run to run.
func timed() error {
	p := socketPair(unix.SOCK_SEQPACKET)
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for _, option := range []int{unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW} {
		// No program listens on port 9, so the send may fail.
		_, _ = unix.SendmsgN(udp, []byte(strconv.Itoa(os.Getpid())), nil, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}, 0)
		if err := unix.SetsockoptInt(p[1], unix.SOL_SOCKET, option, 1); err != nil {
			return err
		}
		if _, err := unix.SendmsgN(p[0], []byte{0}, nil, nil, 0); err != nil {
			return err
		}
		control := make([]byte, 100)
		if _, n, _, _, err := unix.Recvmsg(p[1], make([]byte, 1), control, 0); err != nil || n == 0 {
			return fmt.Errorf("%d bytes of control data, %v", n, err)
		}
	}
	return receiveWithTimeout(p, 3, time.Minute)
}

// receiveWithTimeout receives bytes that it has sent itself, one per call. The kernel stores the remaining
// time in the timeout, and the next call uses that.
func receiveWithTimeout(p [2]int, calls int, limit time.Duration) error {
	iov := unix.Iovec{Base: new(byte)}
	iov.SetLen(1)
	message := mmsghdr{hdr: unix.Msghdr{Iov: &iov}}
	message.hdr.SetIovlen(1)
	timeout := unix.NsecToTimespec(int64(limit))
	for range calls {
		if _, err := unix.Write(p[0], []byte{0}); err != nil {
			return err
		}
		if _, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(p[1]), uintptr(unsafe.Pointer(&message)), 1, 0, uintptr(unsafe.Pointer(&timeout)), 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// receiveWithin receives with a timeout.
func receiveWithin(limit time.Duration) error {
	return receiveWithTimeout(socketPair(unix.SOCK_SEQPACKET), 1, limit)
}

type mmsghdr struct {
	hdr unix.Msghdr
	_   uint32 // msg_len
}

// receiveAtOnce receives without waiting, with or without a byte to receive.
func receiveAtOnce(there bool) error {
	p := socketPair(unix.SOCK_STREAM)
	if there {
		if _, err := unix.Write(p[0], []byte{0}); err != nil {
			return err
		}
	}
	_, _, _, _, err := unix.Recvmsg(p[1], make([]byte, 1), nil, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return nil
	}
	return err
}

// secretMemory is a page of memory that a tracer cannot read.
func secretMemory() ([]byte, error) {
	fd, _, errno := unix.Syscall(447, unix.O_CLOEXEC, 0, 0) // memfd_secret
	if errno != 0 {
		return nil, os.NewSyscallError("memfd_secret", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	if err := unix.Ftruncate(int(fd), 4096); err != nil {
		return nil, err
	}
	return unix.Mmap(int(fd), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// passNamed makes two sockets with names chosen by the kernel, and sends from one to the other by name.
func passNamed() error {
	var socks [2]int
	var names [2]unix.Sockaddr
	for i := range socks {
		var err error
		if socks[i], err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err = unix.Bind(socks[i], &unix.SockaddrUnix{}); err != nil {
			return err
		}
		if names[i], err = unix.Getsockname(socks[i]); err != nil {
			return err
		}
	}
	name := names[1].(*unix.SockaddrUnix).Name
	if err := scm.Send(socks[0], &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{0}, Addr: &net.UnixAddr{Name: name, Net: "unixgram"}}, 0); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 1), Addr: &net.UnixAddr{}}
	err := scm.Recv(socks[1], &m, 0)
	m.Close()
	return err
}

func sendWithFlag(sock int, m *scm.Message, _ int) error {
	return scm.Send(sock, m, unix.MSG_NOSIGNAL)
}

// scmCommand returns a command that runs scm without a terminal.
func scmCommand(args ...string) *exec.Cmd { return scmAs(scmChild, args...) }

// scmAs is scmCommand for one of the children that are scm.
func scmAs(child string, args ...string) *exec.Cmd {
	cmd := reexec.Command(child, args...)
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// tracee returns the command line of a program to trace.
func tracee(name string) []string { return reexec.CommandLine(name) }

// traceable skips a test if this process may not trace. With CI=true that is an error.
func traceable(t *testing.T) {
	t.Helper()
	_, err := recorder.Record(exec.Command("true"), recorder.Options{})
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v, and CI=true", err)
	}
	t.Skip(err)
}

// startReady starts a command, and waits until its first line is "ready". It returns what follows.
func startReady(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	fdtest.Must(t, err)
	fdtest.Must(t, cmd.Start())
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command printed %q, %v", line, err)
	}
	return lines
}

// startLines starts a command that prints "ready" and then a line for each line that it reads.
func startLines(t *testing.T, target *exec.Cmd) (in io.WriteCloser, expect func(want string)) {
	t.Helper()
	in, err := target.StdinPipe()
	fdtest.Must(t, err)
	lines := startReady(t, target)
	expect = func(want string) {
		t.Helper()
		if line, err := lines.ReadString('\n'); line != want+"\n" {
			t.Fatalf("the target printed %q, %v", line, err)
		}
	}
	return in, expect
}
