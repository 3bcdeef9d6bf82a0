//go:build linux

package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/sys"
)

func init() { reexec.Register("cautious", runCautious) }

// runCautious is a successor with the arguments PATH ADDRESS and options that its predecessor does not have. It fails
// to listen at ADDRESS. It ends when it reads "Fail" or "exit", and calls Ready when it reads "ready".
func runCautious(args []string) {
	ctx, path := context.Background(), args[0]
	say := func(words ...any) { fmt.Print(fmt.Sprintln(append([]any{os.Getpid()}, words...)...)) }
	p := must(Config{Unix: scm.Config{
		NoFiles: hasPassRights(),
		Mode:    0o600,
		Expect:  &scm.Expect{},
		Check:   func(*scm.Conn) error { return nil },
	}}.Start(ctx, path))
	_ = must(listenAll(ctx, p))
	if _, err := p.Listen(ctx, "other", "tcp", args[1]); !errors.Is(err, syscall.EADDRINUSE) {
		panic(err)
	}
	say("prepared")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "ready":
			go func() {
				if p.Ready(ctx) == nil {
					say("serving")
				}
			}()
		case "Fail":
			p.Fail(errors.New("no memory"))
			os.Exit(1)
		case "exit":
			os.Exit(1)
		}
	}
}

const noPassRights = "this kernel does not have SO_PASSRIGHTS, which is new in Linux 6.16"

func hasPassRights() bool {
	a, b, err := scm.Config{NoFiles: true}.Pair("unix")
	if err == nil {
		_, _ = a.Close(), b.Close()
	}
	return err == nil
}

// listenAll returns a socket of each network.
func listenAll(ctx context.Context, p *Process) (sockets map[string]syscall.Conn, err error) {
	sockets = map[string]syscall.Conn{}
	for network, packets := range map[string]bool{"unix": false, "tcp": false, "unixgram": true, "udp": true} {
		address := "127.0.0.1:0"
		if isUnix(network) {
			address = p.path + "." + network
		}
		var made any
		if packets {
			made, err = p.ListenPacket(ctx, network, network, address)
		} else {
			made, err = p.Listen(ctx, network, network, address)
		}
		if err != nil {
			return sockets, err
		}
		sockets[network] = made.(syscall.Conn)
	}
	return sockets, nil
}

// observe returns what another process can change in sockets and files.
func observe(t *testing.T, sockets map[string]syscall.Conn, files ...string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for name, conn := range sockets {
		err := withFD(conn, func(fd int) error {
			for _, level := range []int{unix.SOL_SOCKET, unix.IPPROTO_IP, unix.IPPROTO_TCP} {
				for option := range 128 {
					switch [2]int{level, option} {
					case [2]int{unix.SOL_SOCKET, unix.SO_PEERPIDFD}, // opens a descriptor
						[2]int{unix.IPPROTO_TCP, unix.TCP_TIMESTAMP}: // a clock
						continue
					}
					value, err := unix.GetsockoptInt(fd, level, option)
					seen[fmt.Sprintf("%s: option %d of level %d", name, option, level)] = fmt.Sprint(value, " ", err)
				}
			}
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			seen[name+": flags"] = fmt.Sprint(flags)
			return err
		})
		fdtest.Must(t, err)
	}
	for _, file := range files {
		info := must(os.Lstat(file))
		seen[file] = fmt.Sprint(sys.FileIDOf(info, nil), info.Mode(), info.ModTime())
	}
	return seen
}

// A successor that ends before it serves has changed nothing that the predecessor, its clients or later versions see.
func TestFailedSuccessorChangesNothing(t *testing.T) {
	for _, step := range []struct {
		after string
		holds string // the message that is not passed on
		main  bool   // the predecessor announces the successor to a service manager
	}{
		{"Listen", "", false}, {"ready", "ready", false}, {"go", "go", false},
		{"going", "going", true}, {"going, and before main", "", true},
	} {
		for _, way := range []string{"Fail", "exit", "SIGKILL"} {
			t.Run(step.after+" by "+way, func(t *testing.T) {
				var m *testManager
				if step.main {
					m = newManager(t)
					m.hold = make(chan struct{})
				}
				w := newProcesses(t, nothing)
				a := start(t, Config{}, w.path)
				sockets := must(listenAll(patient(t), a))
				library := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)) // blocking
				kept := os.NewFile(uintptr(library), "library")
				local := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
				err := errors.Join(unix.Bind(library, local), unix.Listen(library, 1), a.Keep("library", kept))
				fdtest.Must(t, err)
				other := fmt.Sprint("127.0.0.1:", must(unix.Getsockname(library)).(*unix.SockaddrInet4).Port)
				ready(t, a)
				sockets["library"], sockets["control"] = kept, a.server.control
				files := []string{a.path, a.path + ".unix", a.path + ".unixgram"}
				before := observe(t, sockets, files...)

				var r *relay
				if step.holds != "" {
					r = w.relay(step.holds, 1)
				}
				b := w.run(reexec.Command("cautious", a.path, other))
				b.says("prepared")
				if step.after != "Listen" {
					b.reads("ready")
				}
				switch {
				case r != nil:
					r.holds()
				case step.main:
					b.says("serving")
				}
				if way == "SIGKILL" {
					b.kill()
				} else {
					b.reads(way)
					b.says("ended")
				}
				if r != nil {
					r.drop()
				}
				if step.main {
					close(m.hold)
				}
				fdtest.Eventually(t, "the attempt has failed", func() bool {
					a.mu.Lock()
					defer a.mu.Unlock()
					return a.server.attempt == nil
				})
				if a.isReplaced() {
					t.Error("the predecessor is replaced")
				}
				for what, after := range observe(t, sockets, files...) {
					if before[what] != after {
						t.Errorf("%s: before %s, after %s", what, before[what], after)
					}
				}
				for _, conn := range sockets {
					_ = conn.(io.Closer).Close()
				}
			})
		}
	}
}

// The option of NoFiles is set in a received socket only when the predecessor cannot continue. Until then, this process
// rejects descriptors itself.
func TestNoFiles(t *testing.T) {
	noLeak(t)
	noFiles := Config{Unix: scm.Config{NoFiles: true}}
	if !hasPassRights() {
		t.Skip(noPassRights)
	}
	for _, of := range []string{"the predecessor", "a predecessor that announces its successor", "the service manager"} {
		t.Run(of, func(t *testing.T) {
			announces := make(chan struct{})
			if of == "a predecessor that announces its successor" {
				newManager(t).hold = announces
			} else {
				close(announces)
			}
			a := start(t, Config{}, socketPath(t))
			theirs := must(listenAll(patient(t), a))
			var p *Process
			if of == "the service manager" {
				p = start(t, noFiles, socketPath(t))
				for network, conn := range theirs {
					passes(p, network, must(conn.(interface{ File() (*os.File, error) }).File()))
				}
			} else {
				ready(t, a)
				p = start(t, noFiles, a.path)
			}
			rejects := func() int {
				on := 0
				for _, network := range []string{"unix", "unixgram"} {
					must(0, withFD(theirs[network], func(fd int) error {
						value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, sys.OptionPassRights)
						on += value
						return err
					}))
				}
				return 2 - on
			}
			l := must(p.Listen(patient(t), "unix", "unix", a.path+".unix"))
			packets := must(p.ListenPacket(patient(t), "unixgram", "unixgram", a.path+".unixgram")).(*scm.Conn)
			client := must(scm.Dial(patient(t), "unix", a.path+".unix"))
			sender := must(scm.DialPacket(patient(t), "unixgram", "", a.path+".unixgram"))
			_, _ = must(client.WriteFiles([]byte("x"), os.Stdin)), must(sender.WriteFiles([]byte("x"), os.Stdin))
			if n := rejects(); n != 0 {
				t.Errorf("before Ready, the kernel rejects descriptors for %d sockets", n)
			}
			ready(t, p)
			conn := must(l.Accept()).(*scm.Conn)
			for _, c := range []*scm.Conn{conn, packets} {
				_, _, err := c.ReadFiles(make([]byte, 1), 1)
				if rejected := new(scm.ExpectError); !errors.As(err, &rejected) {
					t.Errorf("ReadFiles: %v", err)
				}
			}
			if of == "a predecessor that announces its successor" {
				if n := rejects(); n != 0 {
					t.Errorf("before main, the kernel rejects descriptors for %d sockets", n)
				}
				close(announces)
				<-p.server.isMain
			}
			if n := rejects(); n != 2 {
				t.Errorf("the kernel rejects descriptors for %d sockets, want 2", n)
			}
			// What the program turns on later stays on.
			fdtest.Must(t, packets.PassRights(true))
			fails(t, p)
			if n := rejects(); n != 1 {
				t.Errorf("after PassRights, the kernel rejects descriptors for %d sockets, want 1", n)
			}
			theirs["l"], theirs["packets"], theirs["conn"] = l.(syscall.Conn), packets, conn
			theirs["client"], theirs["sender"] = client, sender
			for _, conn := range theirs {
				_ = conn.(io.Closer).Close()
			}
		})
	}
}

// A version without NoFiles receives descriptors again as soon as it has called PassRights, even if the service manager
// does not know it yet.
func TestPassRightsAfterReady(t *testing.T) {
	if !hasPassRights() {
		t.Skip(noPassRights)
	}
	m := newManager(t)
	m.hold = make(chan struct{})
	a := start(t, Config{Unix: scm.Config{NoFiles: true}}, socketPath(t))
	listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	b := start(t, Config{}, a.path)
	web := listen(t, b, "web", "unix", a.path+".web").(*scm.Listener)
	ready(t, b)
	err := withFD(web, func(fd int) error { return scm.PassRights(fd, true) })
	close(m.hold)
	<-b.server.isMain
	client := must(scm.Dial(patient(t), "unix", a.path+".web"))
	defer client.Close()
	if _, rejected := client.WriteFiles([]byte("x"), os.Stdin); rejected != nil {
		t.Error(err, rejected)
	}
}

// denyOptions makes setsockopt(2) fail in this thread, as for an option that the kernel does not have.
func denyOptions() { deny(unix.SYS_SETSOCKOPT, unix.ENOPROTOOPT) }

// deny makes a system call fail in this thread, as a seccomp filter of a container does.
func deny(call uint32, errno unix.Errno) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	must(0, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	must(0, unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
}

// Without the option, Listen fails. An error in setting it later is only logged, because then this process serves.
func TestNoFilesWithoutTheOption(t *testing.T) {
	noLeak(t)
	if !hasPassRights() {
		t.Skip(noPassRights)
	}
	a := start(t, Config{}, socketPath(t))
	_ = listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	var log logged
	for _, early := range []bool{true, false} {
		p := start(t, Config{Unix: scm.Config{NoFiles: true}, Logger: log.logger()}, a.path)
		socketcall := false
		err := <-inBackground(func() error {
			runtime.LockOSThread() // the thread ends with this goroutine
			if early {
				denyOptions()
			}
			l, err := p.Listen(patient(t), "web", "unix", a.path+".web")
			if err != nil {
				return err
			}
			defer l.Close()
			denyOptions()
			socketcall = hasPassRights()
			return p.Ready(patient(t))
		})
		switch {
		case socketcall:
			t.Skip("this architecture sets socket options with socketcall(2)")
		case early && !errors.Is(err, errors.ErrUnsupported), !early && err != nil:
			t.Error(err)
		}
		_ = p.Close()
	}
	isReplaced(t, a)
	if n := log.count("WARN handover: cannot make the kernel reject descriptors name=web"); n != 1 {
		t.Errorf("%d warnings: %q", n, log.lines)
	}
}
