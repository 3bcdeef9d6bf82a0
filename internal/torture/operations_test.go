//go:build linux

package torture

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// operation is a call of the API that makes system calls, and what must be true
// of it whatever the kernel answers to them.
type operation struct {
	name     string   // a function or method, and perhaps in which case
	also     []string // what else it is the proof of
	networks []string // on which it is made
	setUp    func(t *subject)
	call     func(t *subject) error

	sends parcel // what one call that succeeds sends
	comes parcel // what one call receives; it is there twice

	// inParts says that a message is sent by more than one system call, as its
	// original does: who dies or fails between them has sent a beginning.
	inParts bool

	// once says that a second call is not promised to succeed.
	once bool

	// retries are what is documented to be no error, by system call.
	retries map[string][]unix.Errno

	// shrugs are the system calls whose failure, or whose failure with one errno ("openat
	// EACCES"), or the failure of one of which ("newfstatat #1"), is no error, and why that is right.
	shrugs map[string]string

	// spares are the faults that are not injected ("connect EINTR"), and why.
	spares map[string]string

	// hides are the system calls whose errno, or one errno of which, is not in the error, and what
	// is; 0 is no errno.
	hides map[string]unix.Errno
}

// parcel is a number of messages.
type parcel struct {
	payload string
	files   int // in each message
	count   int // messages; 0 is 1 where there is a payload or a file
	kind    string
	format  wire.Format // that sends it, if it is not scm
}

func (p parcel) messages() int {
	if p.count == 0 && (p.payload != "" || p.files > 0) {
		return 1
	}
	return p.count
}

var (
	allNetworks = []string{"unix", "unixgram", "unixpacket"}
	withEnd     = []string{"unix", "unixpacket"}
	unixOnly    = []string{"unix"}
	gramOnly    = []string{"unixgram"}
	packetOnly  = []string{"unixpacket"}

	onSignal = []unix.Errno{unix.EINTR}
	waits    = []unix.Errno{unix.EINTR, unix.EAGAIN}

	// connRetries is Conn's and Listener's: EINTR is retried, EAGAIN waited out.
	connRetries = map[string][]unix.Errno{
		"sendmsg": waits, "recvmsg": waits, "connect": waits, "flock": waits,
		"accept4": {unix.EINTR, unix.EAGAIN, unix.ECONNABORTED}, "ppoll": onSignal,
		"openat": onSignal, "newfstatat": onSignal, "renameat": onSignal, "fstat": onSignal, "unlinkat": onSignal,
		"readlinkat": onSignal,
		"bind":       {unix.EADDRINUSE}, // a stale file may be gone by the second time
	}

	// expectRetries are those of package os, by which a file is looked at.
	expectRetries = map[string][]unix.Errno{"readlinkat": onSignal}

	wireRetries = map[string][]unix.Errno{"sendmsg": onSignal, "recvmsg": onSignal, "connect": onSignal, "ppoll": onSignal}

	// netShrugs are those of package net, which makes a connection.
	netShrugs = map[string]string{
		"getsockname": "package net: the address is nil",
		"getpeername": "package net: the address is nil",
		"close":       "the number is free, and the error has nobody to go to",
	}

	// fileConnShrugs are those of net.FileConn and net.FileListener, and of the os.File that they take.
	fileConnShrugs = with(netShrugs, map[string]string{
		"fcntl F_GETFL":                "os.NewFile",
		"fcntl F_DUPFD_CLOEXEC EINVAL": "package net calls dup(2) then",
	})

	// numberShrugs are those where the socket does not block, and os.NewFile has it in the poller.
	numberShrugs = with(fileConnShrugs, map[string]string{"epoll_ctl EPOLL_CTL_ADD #1": "os.NewFile"})

	// socketShrugs are those of receiving a socket.
	socketShrugs = with(numberShrugs, map[string]string{
		"getsockopt ENOPROTOOPT": "some systems do not know SO_ACCEPTCONN",
	})

	// noFamily is that of a received socket which does not tell its family.
	noFamily = map[string]unix.Errno{"getsockopt": unix.EPROTONOSUPPORT}

	// noKind is that of a file which is refused because it may not be looked at.
	noKind = map[string]unix.Errno{"statx EACCES": 0}

	// noFileSystem is that of a stale file whose file system is not known.
	noFileSystem = map[string]unix.Errno{"statfs": unix.EADDRINUSE}

	// fileShrugs are those of os.NewFile, which returns no error: without the flags
	// or without the poller the file is one that blocks.
	fileShrugs = map[string]string{
		"fcntl F_GETFL": "os.NewFile", "epoll_ctl EPOLL_CTL_ADD": "os.NewFile", "epoll_ctl of itself": notAsked,
		"getsockopt": notPolled, "statx": notPolled, "close": closeShrugs["close"],
	}

	// strangeShrugs are those of a file that is not for the poller.
	strangeShrugs = map[string]string{
		"fcntl F_GETFL": "os.NewFile", "epoll_ctl of itself": notAsked,
		"getsockopt": notPolled, "statx": notPolled, "close": closeShrugs["close"],
	}

	// expectShrugs are those of looking at a file.
	expectShrugs = map[string]string{
		"fcntl F_GET_SEALS": "a file that does not tell its seals has none",
		"close":             "the number is free, and the error has nobody to go to",
	}

	// openShrugs are those of opening a folder or a socket file, which are never in the poller, too.
	openShrugs = with(netShrugs, map[string]string{"fcntl F_GETFL": "os.OpenFile", "fcntl F_SETFL": "os.OpenFile"})

	// staleShrugs are those of looking at a stale file too.
	staleShrugs = with(openShrugs, map[string]string{
		"epoll_ctl EPOLL_CTL_ADD #1": "os.Open",

		"openat EACCES": "a folder that the user may not read has no lock",
		"flock":         "a folder that cannot be locked is not",
		"newfstatat #1": "os.Rename, which looks whether it is a folder",
		"renameat":      "a folder in which rename is refused is not waited for",
	})

	dialSpares = map[string]string{
		"connect EINTR": "package net waits for the poller then, and a Unix socket that does not block never has that",
	}

	listenSpares = with(dialSpares, map[string]string{
		"getsockname": "package net panics, and no Unix socket has that",
	})

	closeShrugs = map[string]string{
		"close": "the number is free, and the error has nobody to go to",
	}

	runShrugs = with(closeShrugs, map[string]string{"close_range": "each is closed by itself"})
)

// with is a table with more in it.
func with[V any](table, more map[string]V) map[string]V {
	table = maps.Clone(table)
	maps.Copy(table, more)
	return table
}

const notAsked = "NewFile: a file that may have a poll method is asked for its kind"

// notPolled says why it is no error that a file's kind cannot be told.
const notPolled = "NewFile: a file of unknown kind is not in the poller"

// hello is one message with one file.
var hello = parcel{payload: "hello", files: 1}

// withConn is the setUp of what works on a Conn.
func withConn(t *subject) { t.connects() }

// withUnixConn is the setUp of what makes a Conn of a net.UnixConn.
func withUnixConn(t *subject) {
	f := os.NewFile(uintptr(t.dup(t.sock)), "socket")
	c, err := net.FileConn(f)
	Expect(err).NotTo(HaveOccurred())
	Expect(f.Close()).To(Succeed())
	t.socket = c.(*net.UnixConn)
}

var operations = []operation{
	{name: "WriteFD", sends: hello, call: func(t *subject) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		return err
	}},
	{name: "ReadFD", comes: hello, call: func(t *subject) error {
		p := make([]byte, 5)
		n, fd, err := scm.ReadFD(t.sock, p)
		if err == nil {
			t.arrived(1, fd)
			t.expects(string(p[:n]), "hello")
		} else {
			t.expects([]int{n, fd}, []int{-1, -1})
		}
		return err
	}},
	{name: "ReadFD of two", shrugs: closeShrugs, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		return truncates(Third(scm.ReadFD(t.sock, make([]byte, 5))))
	}},
	{name: "Send", sends: parcel{payload: "hello", files: 3}, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{[]byte("he"), []byte("llo")}, FDs: slices.Repeat([]int{t.cargo}, 3)}
		return scm.Send(t.sock, &m, unix.MSG_NOSIGNAL)
	}},
	{name: "Recv", comes: parcel{payload: "hello", files: 3}, call: func(t *subject) error {
		return t.receives(3, func(m *scm.Message) error { return scm.Recv(t.sock, m, 0) })
	}},
	{name: "Recv of too many", comes: parcel{payload: "hello", files: 3}, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 1)}
		err := scm.Recv(t.sock, &m, 0)
		if err == nil {
			t.arrived(1, m.FDs[:m.NFD]...)
		}
		return err
	}},
	{name: "Recv with a pidfd", comes: hello, setUp: func(t *subject) {
		_ = scm.PassPIDFD(t.sock, true)
	}, call: func(t *subject) error {
		pidfd := -1
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 1), PIDFD: &pidfd}
		err := scm.Recv(t.sock, &m, 0)
		if err == nil {
			t.arrived(1, m.FDs[:m.NFD]...)
		}
		if pidfd >= 0 {
			t.holds(pidfd)
		}
		return err
	}},
	{name: "SendBatch", sends: parcel{payload: "hello", files: 1, count: 2}, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{[]byte("hello")}, FDs: []int{t.cargo}}
		n, err := scm.SendBatch(t.sock, []scm.Message{m, m}, 0)
		if err == nil {
			t.expects(n, 2)
		}
		return err
	}},
	{name: "RecvBatch", comes: parcel{payload: "hello", files: 1, count: 2}, call: func(t *subject) error {
		ms := make([]scm.Message, 2)
		for i := range ms {
			ms[i] = scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 1)}
		}
		n, err := scm.RecvBatch(t.sock, ms, 0)
		if err == nil {
			t.expects(n, 2)
		}
		for _, m := range ms {
			t.holds(m.FDs[:m.NFD]...)
		}
		return err
	}},
	{name: "Expect.Recv", comes: parcel{payload: "hello", files: 2}, shrugs: expectShrugs, retries: expectRetries, call: func(t *subject) error {
		return t.receives(2, func(m *scm.Message) error {
			return scm.Expect{Min: 2, Max: 2, Kind: scm.KindPipe, Access: scm.AccessWrite}.Recv(t.sock, m, 0)
		})
	}},
	{name: "Expect.Recv of what is not wanted", comes: parcel{payload: "hello", files: 2}, shrugs: closeShrugs, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		err := scm.Expect{Max: 1}.Recv(t.sock, &m, 0)
		var unwanted *scm.ExpectError
		if errors.As(err, &unwanted) && unwanted.Err == nil {
			return nil
		}
		return err
	}},
	{name: "Expect.Enforce", networks: unixOnly, setUp: func(t *subject) {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		t.given = []int{fd, t.dup(t.cargo)}
	}, retries: expectRetries, shrugs: expectShrugs, hides: noKind, once: true, call: func(t *subject) error {
		fds := []int{t.given[0]}
		err := scm.Expect{Min: 1, Max: 1, Kind: scm.KindDirectory}.Enforce(fds)
		if err != nil {
			t.gave(0)
			t.expects(fds, []int{-1})
		}
		return err
	}},
	{name: "NewFile", networks: unixOnly, setUp: func(t *subject) {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		t.given = []int{fd}
	}, shrugs: strangeShrugs, once: true, call: func(t *subject) error {
		return t.makesFile()
	}},
	{name: "NewFile of what is not for the poller", networks: unixOnly, setUp: func(t *subject) {
		fd, err := unix.Open("/dev/random", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		Expect(err).NotTo(HaveOccurred())
		t.given = []int{fd}
	}, shrugs: strangeShrugs, once: true, call: func(t *subject) error {
		return t.makesFile()
	}},
	{name: "NewFile of an eventfd", networks: unixOnly, setUp: func(t *subject) {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		Expect(err).NotTo(HaveOccurred())
		t.given = []int{fd}
	}, shrugs: with(fileShrugs, map[string]string{"readlinkat": notPolled}), once: true, call: func(t *subject) error {
		return t.makesFile()
	}},
	{name: "PeerCred", networks: unixOnly, call: func(t *subject) error { return Second(scm.PeerCred(t.sock)) }},
	{name: "PeerPIDFD", networks: unixOnly, call: func(t *subject) error {
		fd, err := scm.PeerPIDFD(t.sock)
		if err == nil {
			t.holds(fd)
		}
		return err
	}},
	{name: "PassCred", networks: unixOnly, call: func(t *subject) error { return scm.PassCred(t.sock, true) }},
	{name: "PassPIDFD", networks: unixOnly, call: func(t *subject) error { return scm.PassPIDFD(t.sock, true) }},
	{name: "PassRights", networks: unixOnly, call: func(t *subject) error { return scm.PassRights(t.sock, false) }},
	{name: "Nonblock", networks: unixOnly, call: func(t *subject) error { return Second(scm.Nonblock(t.file)) }},
	{name: "SetNonblock", networks: unixOnly, call: func(t *subject) error { return scm.SetNonblock(t.file, true) }},

	{name: "Pair", also: []string{"Config.Pair"}, shrugs: fileConnShrugs, call: func(t *subject) error {
		a, b, err := scm.Pair(t.network)
		if err == nil {
			t.owns(a)
			t.owns(b)
		}
		return err
	}},
	{name: "NewConn", setUp: withUnixConn, call: func(t *subject) error { return Second(scm.NewConn(t.socket)) }},
	{name: "Config.NewConn without files", networks: unixOnly, setUp: withUnixConn, call: func(t *subject) error {
		return Second(scm.Config{NoFiles: true}.NewConn(t.socket))
	}},
	{name: "NewConnFD", shrugs: numberShrugs, setUp: func(t *subject) {
		t.given = []int{t.dup(t.sock), t.dup(t.sock)}
	}, call: func(t *subject) error { return t.takesOver(scm.Config{}) }},
	{name: "Config.NewConnFD without files", networks: unixOnly, shrugs: numberShrugs, setUp: func(t *subject) {
		t.given = []int{t.dup(t.sock), t.dup(t.sock)}
	}, call: func(t *subject) error { return t.takesOver(scm.Config{NoFiles: true}) }},

	{name: "NewConnFile", also: []string{"Config.NewConnFile"}, shrugs: numberShrugs, setUp: func(t *subject) {
		t.sockFile = os.NewFile(uintptr(t.dup(t.sock)), "socket")
	}, call: func(t *subject) error {
		c, err := scm.NewConnFile(t.sockFile)
		if err == nil {
			t.owns(c)
		}
		return err
	}},

	{name: "Dial", also: []string{"Config.Dial"}, retries: connRetries, shrugs: netShrugs, spares: dialSpares, setUp: func(t *subject) {
		t.bound(filepath.Join(t.folder, "server"))
	}, call: func(t *subject) error { return t.dials(filepath.Join(t.folder, "server")) }},
	{name: "Dial of a long path", networks: unixOnly, retries: connRetries, shrugs: openShrugs, spares: dialSpares, setUp: func(t *subject) {
		Expect(os.Mkdir(t.long(), 0o700)).To(Succeed())
		t.bound(t.long() + "/../server")
	}, call: func(t *subject) error { return t.dials(t.long() + "/../server") }},
	{name: "Listen", also: []string{"Config.Listen"}, networks: withEnd, retries: connRetries, shrugs: netShrugs, spares: listenSpares, call: func(t *subject) error {
		return t.listens(scm.Config{})
	}},
	{name: "Config.Listen with a mode and no files", networks: unixOnly, retries: connRetries, shrugs: netShrugs, spares: listenSpares, call: func(t *subject) error {
		return t.listens(scm.Config{Mode: 0o600, NoFiles: true})
	}},
	{name: "Config.Listen with a mode that the umask takes from", networks: unixOnly, retries: connRetries, shrugs: openShrugs, spares: listenSpares, setUp: func(*subject) {
		unix.Umask(0o77)
	}, call: func(t *subject) error {
		return t.listens(scm.Config{Mode: 0o660})
	}},
	{name: "Listen over a stale file", networks: unixOnly, retries: connRetries, shrugs: staleShrugs, spares: listenSpares, hides: noFileSystem, setUp: func(t *subject) {
		for ; t.calls < 2; t.calls++ {
			t.bound(t.path())
			_ = unix.Close(t.given[len(t.given)-1])
		}
		t.calls, t.given, t.stale = 0, nil, true
	}, call: func(t *subject) error {
		return t.listens(scm.Config{})
	}},
	{name: "ListenPacket", also: []string{"Config.ListenPacket"}, networks: gramOnly, retries: connRetries, shrugs: netShrugs, call: func(t *subject) error {
		c, err := scm.ListenPacket(context.Background(), t.network, t.path())
		if err == nil {
			t.owns(c)
		}
		return err
	}},
	{name: "NewListener", networks: withEnd, setUp: withServer, call: func(t *subject) error {
		return Second(scm.NewListener(t.server.UnixListener))
	}},
	{name: "Config.NewListener without files", networks: unixOnly, setUp: withServer, call: func(t *subject) error {
		return Second(scm.Config{NoFiles: true}.NewListener(t.server))
	}},
	{name: "Listener.Accept", also: []string{"Listener.AcceptConn"}, networks: withEnd, retries: connRetries, shrugs: netShrugs, setUp: withServer, call: func(t *subject) error {
		c, err := t.server.Accept()
		if err == nil {
			t.owns(c.(*scm.Conn))
		}
		return err
	}},
	{name: "Listener.Close", networks: unixOnly, once: true, shrugs: closeShrugs, retries: connRetries, setUp: withServer, call: func(t *subject) error {
		t.taken = []int{NumberOf(t.server)}
		return t.server.Close()
	}},

	{name: "Conn.WriteFiles", setUp: withConn, retries: connRetries, sends: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		n, err := t.conn.WriteFiles([]byte("hello"), t.file, t.file)
		if err != nil {
			t.expects(n, 0)
		}
		return err
	}},
	{name: "Conn.WriteBuffers", setUp: withConn, retries: connRetries, sends: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		return Second(t.conn.WriteBuffers([][]byte{[]byte("he"), []byte("llo")}, t.file, t.file))
	}},
	{name: "Conn.WriteFDs", setUp: withConn, retries: connRetries, sends: hello, call: func(t *subject) error {
		return Second(t.conn.WriteFDs([]byte("hello"), t.cargo))
	}},
	{name: "Conn.Send", setUp: withConn, retries: connRetries, sends: hello, call: func(t *subject) error {
		return t.conn.Send(&scm.Message{Buffers: [][]byte{[]byte("hello")}, FDs: []int{t.cargo}}, 0)
	}},
	{name: "Conn.SendFile", setUp: withConn, retries: connRetries, sends: parcel{payload: "name", files: 1}, call: func(t *subject) error {
		return t.conn.SendFile("name", t.file)
	}},
	{name: "Conn.SendConn", setUp: withConn, retries: connRetries, sends: parcel{payload: "\x00", files: 1}, call: func(t *subject) error {
		return t.conn.SendConn(fdtest.AsSocket(t.file))
	}},
	{name: "Conn.SendListener", setUp: withConn, retries: connRetries, sends: parcel{payload: "\x00", files: 1}, call: func(t *subject) error {
		return t.conn.SendListener(fdtest.AsSocket(t.file))
	}},
	{name: "Conn.ReadFiles", setUp: withConn, retries: connRetries, shrugs: fileShrugs, comes: parcel{payload: "hello", files: 2}, call: readsTwo},
	{name: "Conn.ReadFiles of what is not for the poller", setUp: withConn, retries: connRetries, shrugs: strangeShrugs, comes: parcel{payload: "hello", files: 2, kind: "terminal"}, call: readsTwo},
	{name: "Conn.RecvFile of what is not for the poller", networks: unixOnly, setUp: withConn, retries: connRetries, shrugs: strangeShrugs, comes: parcel{payload: "hello", files: 1, kind: "terminal"}, call: func(t *subject) error {
		f, err := t.conn.RecvFile()
		if err == nil {
			t.owns(f)
		}
		return err
	}},
	{name: "Conn.ReadFiles of too many", setUp: withConn, retries: connRetries, shrugs: closeShrugs, comes: parcel{payload: "hello", files: 3}, call: func(t *subject) error {
		return truncates(Third(t.conn.ReadFiles(make([]byte, 5), 2)))
	}},
	{name: "Conn.ReadBuffers", setUp: withConn, retries: connRetries, shrugs: fileShrugs, comes: hello, call: func(t *subject) error {
		_, files, err := t.conn.ReadBuffers([][]byte{make([]byte, 2), make([]byte, 3)}, 1)
		for _, f := range files {
			t.owns(f)
		}
		return err
	}},
	{name: "Conn.Recv of what is closed", also: []string{"Message.CloseFDs"}, setUp: withConn, retries: connRetries, shrugs: runShrugs, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		err := t.conn.Recv(&m, 0)
		m.CloseFDs()
		return err
	}},
	{name: "Conn.Recv", setUp: withConn, retries: connRetries, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		return t.receives(2, func(m *scm.Message) error { return t.conn.Recv(m, 0) })
	}},
	{name: "Conn.Recv with Config.Expect", setUp: func(t *subject) {
		t.connects()
		conn, err := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1, Kind: scm.KindPipe}}.NewConn(t.conn.UnixConn)
		Expect(err).NotTo(HaveOccurred())
		t.conn = conn
	}, retries: connRetries, shrugs: expectShrugs, comes: hello, call: func(t *subject) error {
		return t.receives(1, func(m *scm.Message) error { return t.conn.Recv(m, 0) })
	}},
	{name: "Conn.ReadFDs", setUp: withConn, retries: connRetries, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		fds := make([]int, 2)
		_, nfd, err := t.conn.ReadFDs(make([]byte, 5), fds)
		if err == nil {
			t.arrived(2, fds[:nfd]...)
		} else {
			t.expects(nfd, 0)
		}
		return err
	}},
	{name: "Conn.ReadFDs of what is closed", also: []string{"CloseFDs"}, setUp: withConn, retries: connRetries, shrugs: closeShrugs, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		fds := make([]int, 2)
		_, nfd, err := t.conn.ReadFDs(make([]byte, 5), fds)
		scm.CloseFDs(fds[:nfd]...)
		return err
	}},
	{name: "Conn.Recv and Message.Files", also: []string{"Message.Files"}, setUp: withConn, retries: connRetries, shrugs: fileShrugs, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		if err := t.conn.Recv(&m, 0); err != nil {
			return err
		}
		files, err := m.Files()
		t.expects(m.NFD, 0)
		if err == nil {
			t.expects(len(files), 2)
		}
		for _, f := range files {
			t.owns(f)
		}
		return err
	}},
	{name: "Conn.RecvFile", setUp: withConn, retries: connRetries, shrugs: fileShrugs, comes: hello, call: func(t *subject) error {
		f, err := t.conn.RecvFile()
		if err == nil {
			t.owns(f)
			t.expects(f.Name(), "hello")
		}
		return err
	}},
	{name: "Conn.RecvFile of two", setUp: withConn, retries: connRetries, shrugs: closeShrugs, comes: parcel{payload: "hello", files: 2}, call: func(t *subject) error {
		return truncates(Second(t.conn.RecvFile()))
	}},
	{name: "Conn.RecvConn", setUp: withConn, retries: connRetries, shrugs: socketShrugs, hides: noFamily, comes: parcel{payload: "\x00", files: 1, kind: "socket"}, call: func(t *subject) error {
		c, err := t.conn.RecvConn()
		if err == nil {
			t.owns(c.(*net.UnixConn))
		}
		return err
	}},
	{name: "Conn.RecvConn of TCP", networks: unixOnly, setUp: withConn, retries: connRetries, shrugs: with(socketShrugs, map[string]string{
		"setsockopt": "package net: delay and keepalive of TCP are as they were",
	}), hides: noFamily, comes: parcel{payload: "\x00", files: 1, kind: "tcp"}, call: func(t *subject) error {
		c, err := t.conn.RecvConn()
		if err == nil {
			t.owns(c.(*net.TCPConn))
		}
		return err
	}},
	{name: "Conn.RecvConn of what is none", setUp: withConn, retries: connRetries, shrugs: socketShrugs, hides: noFamily, comes: parcel{payload: "\x00", files: 1}, call: func(t *subject) error {
		err := Second(t.conn.RecvConn())
		if errors.Is(err, unix.ENOTSOCK) {
			return nil
		}
		return err
	}},
	{name: "Conn.RecvListener", setUp: withConn, retries: connRetries, shrugs: socketShrugs, hides: noFamily, comes: parcel{payload: "\x00", files: 1, kind: "listener"}, call: func(t *subject) error {
		l, err := t.conn.RecvListener()
		if err == nil {
			t.owns(l.(*net.UnixListener))
		}
		return err
	}},
	{name: "Conn.Close", setUp: withConn, once: true, call: func(t *subject) error {
		t.taken = []int{t.sock}
		return t.conn.Close()
	}},
	{name: "Conn.PeerCred", networks: unixOnly, setUp: withConn, call: func(t *subject) error { return Second(t.conn.PeerCred()) }},
	{name: "Conn.PeerPIDFD", networks: unixOnly, setUp: withConn, call: func(t *subject) error {
		fd, err := t.conn.PeerPIDFD()
		if err == nil {
			t.holds(fd)
		}
		return err
	}},
	{name: "Conn.PassCred", networks: unixOnly, setUp: withConn, call: func(t *subject) error { return t.conn.PassCred(true) }},
	{name: "Conn.PassPIDFD", networks: unixOnly, setUp: withConn, call: func(t *subject) error { return t.conn.PassPIDFD(true) }},
	{name: "Conn.PassRights", networks: unixOnly, setUp: withConn, call: func(t *subject) error { return t.conn.PassRights(false) }},

	{name: "fdchannel.NewConnectedSockets", networks: packetOnly, call: func(t *subject) error {
		pair, err := fdchannel.NewConnectedSockets()
		if err == nil {
			t.holds(pair[:]...)
		}
		return err
	}},
	{name: "fdchannel.Endpoint.SendFD", networks: packetOnly, sends: parcel{files: 1}, call: func(t *subject) error {
		return fdchannel.NewEndpoint(t.sock).SendFD(t.cargo)
	}},
	{name: "fdchannel.Endpoint.RecvFD", networks: packetOnly, comes: parcel{files: 1}, call: func(t *subject) error {
		return t.one(fdchannel.NewEndpoint(t.sock).RecvFD())
	}},
	{name: "fdchannel.Endpoint.RecvFDNonblock", networks: packetOnly, comes: parcel{files: 1}, call: func(t *subject) error {
		return t.one(fdchannel.NewEndpoint(t.sock).RecvFDNonblock())
	}},
	{name: "fdchannel.Endpoint.RecvFD of two", networks: packetOnly, shrugs: closeShrugs, comes: parcel{files: 2}, call: func(t *subject) error {
		return truncates(Second(fdchannel.NewEndpoint(t.sock).RecvFD()))
	}},
	{name: "fdchannel.Endpoint.Shutdown", networks: packetOnly, shrugs: map[string]string{"shutdown": "it returns no error"}, call: func(t *subject) error {
		fdchannel.NewEndpoint(t.sock).Shutdown()
		return nil
	}},
	{name: "fdchannel.Endpoint.Destroy", networks: packetOnly, once: true, shrugs: closeShrugs, setUp: func(t *subject) {
		t.given = []int{t.dup(t.sock)}
	}, call: func(t *subject) error {
		fdchannel.NewEndpoint(t.given[0]).Destroy()
		t.gave(0)
		return nil
	}},

	{name: "wire.DialNotify", networks: gramOnly, retries: wireRetries, setUp: func(t *subject) {
		path := filepath.Join(t.folder, "notify")
		t.bound(path)
		Expect(os.Setenv("NOTIFY_SOCKET", path)).To(Succeed())
	}, call: func(t *subject) error {
		fd, err := wire.DialNotify()
		if err == nil {
			t.holds(int(fd))
		}
		return err
	}},
	{name: "wire.NotifyStore", networks: gramOnly, retries: wireRetries, sends: parcel{payload: "FDSTORE=1\nFDNAME=name", files: 2}, call: func(t *subject) error {
		return wire.NotifyStore(wire.FD(t.sock), "name", t.cargo, t.cargo)
	}},
	{name: "wire.NotifyRemove", networks: gramOnly, retries: wireRetries, sends: parcel{payload: "FDSTOREREMOVE=1\nFDNAME=name"}, call: func(t *subject) error {
		return wire.NotifyRemove(wire.FD(t.sock), "name")
	}},
	{name: "wire.SendAPUEError", inParts: true, once: true, networks: unixOnly, retries: wireRetries, sends: parcel{payload: "no\x00\x01"}, call: func(t *subject) error {
		return wire.SendAPUEError(wire.FD(t.sock), 1, "no")
	}},
}

// The formats of wire are operations too, each on its own network.
func init() {
	for _, f := range wire.Formats() {
		text := map[string]string{"book": "text", "conmon": "name", "runc": "name", "notify": "READY=1", "qmp": `{}`, "seccomp-listener": `{"fds":["a"]}`, "skalibs-ancil": "x", "skalibs-unixmessage": "text"}[f.Name()]
		operations = append(operations, operation{
			name: "wire." + f.Name() + ".Send", networks: []string{f.Network()}, retries: wireRetries,
			sends: parcel{payload: text, files: 1, format: f},
			call:  func(t *subject) error { return f.Send(wire.FD(t.sock), text, t.cargo) },
		}, operation{
			name: "wire." + f.Name() + ".Recv", networks: []string{f.Network()}, retries: wireRetries,
			comes: parcel{payload: text, files: 1, format: f},
			once:  true, // where a message is received in parts, the second may be all that is left
			call: func(t *subject) error {
				got, fds, err := f.Recv(wire.FD(t.sock))
				if err == nil {
					t.arrived(1, fds...)
					t.expects(got, text)
				}
				return err
			},
		})
	}
}

// findOperation finds one by its name, the faulty ones of the spec's own too.
func findOperation(name string) operation {
	for _, o := range slices.Concat(operations, faulty(), []operation{allQuiet}) {
		if o.name == name {
			return o
		}
	}
	panic("no operation " + name)
}

// function is what the operation is a call of.
func (o operation) function() string {
	name, _, _ := strings.Cut(o.name, " ")
	return name
}

// truncates is the error of a call that has to tell that descriptors are lost.
func truncates(err error) error {
	var truncated *scm.TruncatedError
	switch {
	case errors.As(err, &truncated):
		return nil
	case err == nil:
		return errors.New("the call did not tell that descriptors are lost")
	}
	return err
}

// readsTwo is Conn.ReadFiles of a message with two files.
func readsTwo(t *subject) error {
	_, files, err := t.conn.ReadFiles(make([]byte, 5), 2)
	if err == nil {
		t.expects(len(files), 2)
	}
	for _, f := range files {
		t.owns(f)
	}
	return err
}

// receives is a receive of a message with n files.
func (t *subject) receives(n int, recv func(*scm.Message) error) error {
	m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, n)}
	err := recv(&m)
	if err == nil {
		t.arrived(n, m.FDs[:m.NFD]...)
		t.expects(string(m.Buffers[0][:m.N]), "hello")
	} else {
		t.expects(m.NFD, 0)
	}
	return err
}

// one is a receive of one descriptor.
func (t *subject) one(fd int, err error) error {
	if err == nil {
		t.arrived(1, fd)
	} else {
		t.expects(fd, -1)
	}
	return err
}

func (t *subject) dup(fd int) int {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	return d
}

// gave says that a call closed a given number, as it was to.
func (t *subject) gave(i int) {
	t.taken = append(t.taken, t.given[i])
	t.given[i] = -1
}

// takesOver makes a Conn of a given number.
func (t *subject) takesOver(config scm.Config) error {
	c, err := config.NewConnFD(t.given[t.calls])
	if err == nil {
		t.gave(t.calls)
		t.owns(c)
	}
	return err
}

// makesFile makes a file of a given number, which it keeps or gets another for.
func (t *subject) makesFile() error {
	f, err := scm.NewFile(t.given[0], "file")
	switch {
	case err != nil:
	case NumberOf(f) == t.given[0]:
		t.given[0] = -1
		t.held = append(t.held, f)
	default:
		t.gave(0)
		t.owns(f)
	}
	return err
}

// long is a folder whose path is longer than sun_path.
func (t *subject) long() string { return filepath.Join(t.folder, strings.Repeat("l", 120)) }

// bound makes a socket of the case's network with a name, that listens if it can.
func (t *subject) bound(path string) {
	typ := map[string]int{"unix": unix.SOCK_STREAM, "unixgram": unix.SOCK_DGRAM, "unixpacket": unix.SOCK_SEQPACKET}[t.network]
	sock, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: filepath.Clean(path)})).To(Succeed())
	if t.network != "unixgram" {
		Expect(unix.Listen(sock, 8)).To(Succeed())
	}
	t.given = append(t.given, sock)
}

func (t *subject) dials(path string) error {
	c, err := scm.Dial(context.Background(), t.network, path)
	if err == nil {
		t.owns(c)
	}
	return err
}

func (t *subject) listens(config scm.Config) error {
	l, err := config.Listen(context.Background(), t.network, t.path())
	if err == nil {
		t.owns(l)
	}
	return err
}

// withServer makes a Listener to which two have connected.
func withServer(t *subject) {
	path := filepath.Join(t.folder, "server")
	l, err := scm.Listen(context.Background(), t.network, path)
	Expect(err).NotTo(HaveOccurred())
	t.server = l
	t.patience()
	for range 2 {
		c, err := scm.Dial(context.Background(), t.network, path)
		Expect(err).NotTo(HaveOccurred())
		t.given = append(t.given, t.dup(NumberOf(c)))
		Expect(c.Close()).To(Succeed())
	}
}
