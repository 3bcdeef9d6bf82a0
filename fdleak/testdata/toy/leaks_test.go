//go:build linux

// Package toy has tests that leave descriptors open, and correct ones, for the tests of fdleak.
package toy

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/framed"
)

func TestMain(m *testing.M) { fdleak.Main(m) }

// Each of these leaves a file open. A comment with its name marks the line that received the file.
var leaks = map[string]func(t *testing.T){
	"regular":   func(t *testing.T) { must(os.Create(filepath.Join(t.TempDir(), "file"))) },
	"directory": func(t *testing.T) { must(os.Open("/")) },
	"pipe, both ends": func(t *testing.T) {
		var p [2]int
		ok(unix.Pipe(p[:]))
	},
	"pipe of 1 MiB": func(t *testing.T) {
		waitForPipeMemory(t)
		var p [2]int
		ok(unix.Pipe(p[:]))
		must(unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, 1<<20))
	},
	"fifo": func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "fifo")
		ok(unix.Mkfifo(name, 0o600))
		must(os.OpenFile(name, os.O_RDWR, 0))
	},
	"memfd":   func(t *testing.T) { must(unix.MemfdCreate("scm memfd", 0)) },
	"eventfd": func(t *testing.T) { must(unix.Eventfd(0, 0)) },
	"epoll":   func(t *testing.T) { must(unix.EpollCreate1(0)) },
	"pidfd":   func(t *testing.T) { must(unix.PidfdOpen(os.Getpid(), 0)) },
	"process without Wait": func(t *testing.T) {
		cmd := exec.Command("true")
		ok(cmd.Start())
		must(unix.Wait4(cmd.Process.Pid, nil, 0, nil))
	},
	"device": func(t *testing.T) { must(os.Open("/dev/null")) },
	"tcp listener": func(t *testing.T) {
		must(net.Listen("tcp", "127.0.0.1:0"))
	},
	"tcp connection": func(t *testing.T) {
		l := must(net.Listen("tcp", "127.0.0.1:0"))
		must(net.Dial("tcp", l.Addr().String()))
		ok(must(l.Accept()).Close())
		ok(l.Close())
	},
	"udp": func(t *testing.T) { must(net.ListenPacket("udp", "127.0.0.1:0")) },
	"unix connection": func(t *testing.T) {
		name := fmt.Sprintf("@scm-fdleak-%d", os.Getpid())
		l := must(net.Listen("unix", name))
		must(net.Dial("unix", name))
		ok(must(l.Accept()).Close())
		ok(l.Close())
	},
	"unix pair": func(t *testing.T) {
		p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0))
		ok(unix.Close(p[0]))
	},
	"one of two duplicates": func(t *testing.T) {
		fd := must(unix.Dup(must(unix.Dup(0))))
		ok(unix.Close(fd))
	},

	"ReadFD": func(t *testing.T) {
		a, b := sockets()
		defer closeAll(a, b)
		must(scm.WriteFD(a, []byte("x"), 0))
		must2(scm.ReadFD(b, make([]byte, 1))) // ReadFD
	},
	"Recv": func(t *testing.T) {
		a, b := sockets()
		defer closeAll(a, b)
		must(scm.WriteFD(a, []byte("x"), 0))
		ok(scm.Recv(b, &scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, 1)}, 0)) // Recv
	},
	"PIDFD": func(t *testing.T) {
		a, b := sockets()
		defer closeAll(a, b)
		ok(scm.PassPIDFD(b, true))
		ok(scm.Send(a, &scm.Message{Buffers: [][]byte{{0}}}, 0))
		pidfd := -1
		ok(scm.Recv(b, &scm.Message{Buffers: [][]byte{{0}}, PIDFD: &pidfd}, 0)) // PIDFD
	},
	"Conn.Recv": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		must(a.WriteFiles([]byte("x"), os.Stdin))
		ok(b.Recv(&scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, 1)}, 0)) // Conn.Recv
	},
	"Conn.Recv with credentials": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		must(a.WriteFiles([]byte("x"), os.Stdin))
		ok(b.Recv(&scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, 1), Cred: new(scm.Cred)}, 0)) // Conn.Recv with credentials
	},
	"ReadFiles": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		must(a.WriteFiles([]byte("x"), os.Stdin, os.Stdin))
		_, files, err := b.ReadFiles(make([]byte, 1), 2) // ReadFiles
		ok(err)
		ok(files[0].Close())
	},
	"RecvFile": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		ok(a.SendFile("x", os.Stdin))
		must(b.RecvFile()) // RecvFile
	},
	"RecvFile in TempDir": func(t *testing.T) { // which is removed before the check
		a, b := conns()
		defer closeAll2(a, b)
		f := must(os.Create(filepath.Join(t.TempDir(), "file")))
		ok(a.SendFile("x", f))
		ok(f.Close())
		must(b.RecvFile()) // RecvFile in TempDir
	},
	"RecvFile of an epoll": func(t *testing.T) { // which gets another descriptor
		a, b := conns()
		defer closeAll2(a, b)
		epoll := os.NewFile(uintptr(must(unix.EpollCreate1(0))), "epoll")
		ok(a.SendFile("x", epoll))
		ok(epoll.Close())
		must(b.RecvFile()) // RecvFile of an epoll
	},
	"RecvConn": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		c, d := must2(scm.Pair("unixpacket"))
		defer closeAll2(c, d)
		ok(a.SendConn(c))
		must(b.RecvConn()) // RecvConn
	},
	"RecvListener": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		l := must(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		ok(a.SendListener(l))
		must(b.RecvListener()) // RecvListener
		ok(l.Close())
	},
	"framed": func(t *testing.T) {
		a, b := conns()
		defer closeAll2(a, b)
		must(a.WriteFiles([]byte("x"), os.Stdin))
		r := framed.NewReader(b, framed.Limits{})
		must(io.ReadFull(r, make([]byte, 1))) // framed
		must(r.Take(1))
	},
	"fdchannel": func(t *testing.T) {
		p := must(fdchannel.NewConnectedSockets())
		a, b := fdchannel.NewEndpoint(p[0]), fdchannel.NewEndpoint(p[1])
		defer a.Destroy()
		defer b.Destroy()
		ok(a.SendFD(0))
		must(b.RecvFD()) // fdchannel
	},
}

func TestLeak(t *testing.T) {
	for name, leak := range leaks {
		t.Run(name, func(t *testing.T) {
			fdleak.Check(t)
			leak(t)
		})
	}
}

// The test puts another file in the place of one that was open.
func TestLeakReplaced(t *testing.T) {
	fd := must(unix.Open("/dev/zero", unix.O_RDONLY, 0))
	t.Run("", func(t *testing.T) {
		fdleak.Check(t)
		other := must(unix.Open("/dev/full", unix.O_RDONLY, 0))
		ok(unix.Dup2(other, fd))
		ok(unix.Close(other))
	})
	ok(unix.Close(fd))
}

// A goroutine of the program replaces a socket, and the test leaves a file open.
func TestLeakBesideReplaced(t *testing.T) {
	defer replaceSockets()()
	t.Run("", func(t *testing.T) {
		whileReplaced(t)
		must(unix.MemfdCreate("scm beside", 0))
	})
}

// TestLeakWithoutCheck is for Main to find.
func TestLeakWithoutCheck(t *testing.T) { must(unix.MemfdCreate("scm main", 0)) }

func TestFails(t *testing.T) {
	fdleak.Check(t)
	must(unix.MemfdCreate("scm fails", 0))
	t.Fatal("this test fails")
}

func TestParallelCheck(t *testing.T) {
	t.Parallel()
	fdleak.Check(t)
}

func TestParallelParent(t *testing.T) {
	t.Parallel()
	t.Run("serial", func(t *testing.T) { fdleak.Check(t) })
}

func TestParallelAfterCheck(t *testing.T) {
	fdleak.Check(t)
	t.Parallel()
}

func ok(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](x T, err error) T {
	ok(err)
	return x
}

func must2[T, U any](x T, y U, err error) (T, U) {
	ok(err)
	return x, y
}

func sockets() (a, b int) {
	p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	return p[0], p[1]
}

func conns() (a, b *scm.Conn) { return must2(scm.Pair("unix")) }

func closeAll(fds ...int) {
	for _, fd := range fds {
		ok(unix.Close(fd))
	}
}

func closeAll2(conns ...*scm.Conn) {
	for _, c := range conns {
		ok(c.Close())
	}
}
