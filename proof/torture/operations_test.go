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

// operation is a call of an exported function that makes system calls, with what is
// documented about errors of those calls.
type operation struct {
	name     string   // the function or method, a space, and the case
	also     []string // further functions that the operation covers
	networks []string // the types of socket to run on; nil means all
	setUp    func(t *fixture)
	call     func(t *fixture) error

	sends    messageSet // what one successful call sends
	receives messageSet // what one call receives; the partner sends it twice

	// partial means that a message is sent by several system calls, as in the original
	// program. If one fails or the process dies, a prefix of the message has been sent.
	partial bool

	// once means that a second call need not succeed.
	once bool

	// retries lists the errnos, by system call, after which the operation tries again.
	retries map[string][]unix.Errno

	// ignored lists the failures that the operation ignores, and why that is right. A key is a
	// system call, a system call with an errno ("openat EACCES"), or one of several system
	// calls of that name ("newfstatat #1").
	ignored map[string]string

	// notInjected lists faults that must not be injected ("connect EINTR"), and why.
	notInjected map[string]string

	// replaced lists the failures whose errno the operation's error does not wrap, with the errno
	// that it wraps instead. 0 means none.
	replaced map[string]unix.Errno
}

// messageSet describes a message. The zero value describes none.
type messageSet struct {
	payload string
	files   int
	kind    string
	format  wire.Format // sends the message; nil means scm
}

func (p messageSet) none() bool { return p.payload == "" && p.files == 0 }

var (
	allNetworks = []string{"unix", "unixgram", "unixpacket"}
	connected   = []string{"unix", "unixpacket"}
	unixOnly    = []string{"unix"}
	gramOnly    = []string{"unixgram"}
	packetOnly  = []string{"unixpacket"}

	eintr         = []unix.Errno{unix.EINTR}
	eintrOrEAGAIN = []unix.Errno{unix.EINTR, unix.EAGAIN}

	// connRetries applies to Conn and Listener. They retry after EINTR, and wait after EAGAIN.
	connRetries = map[string][]unix.Errno{
		"sendmsg": eintrOrEAGAIN, "recvmsg": eintrOrEAGAIN, "write": eintrOrEAGAIN, "read": eintrOrEAGAIN, "connect": eintrOrEAGAIN, "flock": eintrOrEAGAIN,
		"accept4": {unix.EINTR, unix.EAGAIN, unix.ECONNABORTED}, "ppoll": eintr,
		"openat": eintr, "newfstatat": eintr, "renameat": eintr, "fstat": eintr, "unlinkat": eintr,
		"readlinkat": eintr,
		"bind":       {unix.EADDRINUSE}, // Listen may have removed a stale socket file before the second bind
	}

	// expectRetries applies to Expect, which reads /proc/self/fd with package os.
	expectRetries = map[string][]unix.Errno{"readlinkat": eintr}

	wireRetries = map[string][]unix.Errno{"sendmsg": eintr, "recvmsg": eintr, "connect": eintr, "ppoll": eintr}

	// netIgnored applies to functions in which package net makes a connection.
	netIgnored = map[string]string{
		"getsockname": "package net: the address is nil",
		"getpeername": "package net: the address is nil",
		"close":       closedAnyway,
	}

	// fileConnIgnored applies to net.FileConn, net.FileListener and the os.File passed to them.
	fileConnIgnored = with(netIgnored, map[string]string{
		"fcntl F_GETFL":                "os.NewFile",
		"fcntl F_DUPFD_CLOEXEC EINVAL": "package net falls back to dup(2)",
	})

	// nonblockIgnored applies if the socket is non-blocking, so that os.NewFile adds it to the poller.
	nonblockIgnored = with(fileConnIgnored, map[string]string{"epoll_ctl EPOLL_CTL_ADD #1": "os.NewFile"})

	// socketIgnored applies to functions that receive a socket.
	socketIgnored = with(nonblockIgnored, map[string]string{
		"getsockopt ENOPROTOOPT": "some systems do not support SO_ACCEPTCONN",
	})

	// unknownFamily applies if getsockopt does not report the family of a received socket.
	unknownFamily = map[string]unix.Errno{"getsockopt": unix.EPROTONOSUPPORT}

	// unknownKind applies if statx is not permitted, so that Expect rejects the file.
	unknownKind = map[string]unix.Errno{"statx EACCES": 0}

	// unknownFileSystem applies if the file system of a stale socket file is unknown.
	unknownFileSystem = map[string]unix.Errno{"statfs": unix.EADDRINUSE}

	// fileIgnored applies to os.NewFile, which returns no error. If it cannot read the flags or
	// add the file to the poller, it returns a blocking file.
	fileIgnored = map[string]string{
		"fcntl F_GETFL": "os.NewFile", "epoll_ctl EPOLL_CTL_ADD": "os.NewFile", "epoll_ctl of itself": notAsked,
		"getsockopt": notPolled, "statx": notPolled, "close": closeIgnored["close"],
	}

	// unpolledIgnored applies to files that NewFile keeps out of the poller.
	unpolledIgnored = map[string]string{
		"fcntl F_GETFL": "os.NewFile", "epoll_ctl of itself": notAsked,
		"getsockopt": notPolled, "statx": notPolled, "close": closeIgnored["close"],
	}

	// expectIgnored applies to Expect, which examines a file.
	expectIgnored = map[string]string{
		"fcntl F_GET_SEALS": "a file that does not support F_GET_SEALS has no seals",
		"close":             closedAnyway,
	}

	// pipeIgnored applies to an Expect that accepts pipes.
	pipeIgnored = with(expectIgnored, map[string]string{
		"statx EACCES": "the name in /proc, which only the kernel can have created, shows that the file is a pipe",
	})

	// truncatedIgnored applies to functions that find out why descriptors were lost.
	truncatedIgnored = with(closeIgnored, map[string]string{
		"getsockopt": "an option that cannot be read counts as not set, so the cause is EMSGSIZE",
	})

	// openIgnored also covers opening a folder or a socket file, which never enter the poller.
	openIgnored = with(netIgnored, map[string]string{"fcntl F_GETFL": "os.OpenFile", "fcntl F_SETFL": "os.OpenFile"})

	// staleIgnored also covers examining a stale socket file.
	staleIgnored = with(openIgnored, map[string]string{
		"epoll_ctl EPOLL_CTL_ADD #1": "os.Open",

		"openat EACCES": "Listen does not lock a folder that the user may not read",
		"flock":         "Listen continues without a lock",
		"newfstatat #1": "os.Rename finds out whether the target is a folder",
		"renameat":      "Listen does not wait if the folder does not permit rename",
	})

	dialNotInjected = map[string]string{
		"connect EINTR": "package net would wait for the poller, but connect on a non-blocking Unix socket never returns EINTR",
	}

	listenNotInjected = with(dialNotInjected, map[string]string{
		"getsockname": "package net would panic, but getsockname on a Unix socket never fails",
	})

	closeIgnored = map[string]string{
		"close": closedAnyway,
	}

	rangeCloseIgnored = with(closeIgnored, map[string]string{"close_range": "each descriptor is closed with close"})
)

// with returns a copy of table with the entries of more added.
func with[V any](table, more map[string]V) map[string]V {
	table = maps.Clone(table)
	maps.Copy(table, more)
	return table
}

// closedAnyway explains why an error of close is ignored.
const closedAnyway = "the descriptor is closed anyway, and the caller cannot use the error"

// notAsked explains why an error of epoll_ctl on the file itself is ignored.
const notAsked = "NewFile: the file may have a poll method, so its kind decides"

// notPolled explains why a failure to find out a file's kind is ignored.
const notPolled = "NewFile: a file of unknown kind does not enter the poller"

// hello describes one message with one file.
var hello = messageSet{payload: "hello", files: 1}

// withConn is the setUp of operations on a Conn.
func withConn(t *fixture) { t.makeConn() }

// withUnixConn is the setUp of operations that make a Conn from a net.UnixConn.
func withUnixConn(t *fixture) {
	f := os.NewFile(uintptr(t.dup(t.sock)), "socket")
	c := OK(net.FileConn(f))
	Expect(f.Close()).To(Succeed())
	t.socket = c.(*net.UnixConn)
}

// inDifftest lists functions that make one system call and close nothing after an error. proof/difftest compares their
// results, and the descriptors that they leave open, after calls that fail and calls that do not.
var inDifftest = []string{"WriteFD", "Send", "Recv"}

var operations = []operation{
	{name: "ReadFD", receives: hello, call: func(t *fixture) error {
		p := make([]byte, 5)
		n, fd, err := scm.ReadFD(t.sock, p)
		if err == nil {
			t.receivedFDs(1, fd)
			t.expectEqual(string(p[:n]), "hello")
		} else {
			t.expectEqual([]int{n, fd}, []int{-1, -1})
		}
		return err
	}},
	{name: "ReadFD with two descriptors", ignored: closeIgnored, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		return requireTruncated(Third(scm.ReadFD(t.sock, make([]byte, 5))))
	}},
	{name: "Expect.Recv", receives: messageSet{payload: "hello", files: 2}, ignored: pipeIgnored, retries: expectRetries, call: func(t *fixture) error {
		return t.recvHello(2, func(m *scm.Message) error {
			return scm.Expect{Min: 2, Max: 2, Kind: scm.KindPipe, Access: scm.AccessWrite}.Recv(t.sock, m, 0)
		})
	}},
	{name: "Expect.Recv with an unexpected descriptor", receives: messageSet{payload: "hello", files: 2}, ignored: closeIgnored, call: func(t *fixture) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		err := scm.Expect{Max: 1}.Recv(t.sock, &m, 0)
		var unwanted *scm.ExpectError
		if errors.As(err, &unwanted) && unwanted.Err == nil {
			return nil
		}
		return err
	}},
	{name: "Expect.Enforce", networks: unixOnly, setUp: func(t *fixture) {
		t.setUpFDs = []int{opened(unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)), t.dup(t.cargo)}
	}, retries: expectRetries, ignored: expectIgnored, replaced: unknownKind, once: true, call: func(t *fixture) error {
		fds := []int{t.setUpFDs[0]}
		err := scm.Expect{Min: 1, Max: 1, Kind: scm.KindDirectory}.Enforce(fds)
		if err != nil {
			t.closedByCall(0)
			t.expectEqual(fds, []int{-1})
		}
		return err
	}},
	{name: "NewFile", networks: unixOnly, setUp: func(t *fixture) {
		t.setUpFDs = []int{opened(unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0))}
	}, ignored: unpolledIgnored, once: true, call: (*fixture).callNewFile},
	{name: "NewFile with a device that stays out of the poller", networks: unixOnly, setUp: func(t *fixture) {
		t.setUpFDs = []int{opened(unix.Open("/dev/random", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0))}
	}, ignored: unpolledIgnored, once: true, call: (*fixture).callNewFile},
	{name: "NewFile with an eventfd", networks: unixOnly, setUp: func(t *fixture) {
		t.setUpFDs = []int{opened(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))}
	}, call: (*fixture).callNewFile, once: true, ignored: with(fileIgnored, map[string]string{"readlinkat": notPolled})},
	{name: "PeerCred", networks: unixOnly, call: func(t *fixture) error { return Second(scm.PeerCred(t.sock)) }},
	{name: "PeerPIDFD", networks: unixOnly, call: func(t *fixture) error {
		return t.returnsFD(scm.PeerPIDFD(t.sock))
	}},
	{name: "PassCred", networks: unixOnly, call: func(t *fixture) error { return scm.PassCred(t.sock, true) }},
	{name: "PassPIDFD", networks: unixOnly, call: func(t *fixture) error { return scm.PassPIDFD(t.sock, true) }},
	{name: "PassRights", networks: unixOnly, call: func(t *fixture) error { return scm.PassRights(t.sock, false) }},
	{name: "Nonblock", networks: unixOnly, call: func(t *fixture) error { return Second(scm.Nonblock(t.file)) }},
	{name: "SetNonblock", networks: unixOnly, call: func(t *fixture) error { return scm.SetNonblock(t.file, true) }},

	{name: "Pair", also: []string{"Config.Pair"}, ignored: fileConnIgnored, call: func(t *fixture) error {
		a, b, err := scm.Pair(t.network)
		if err == nil {
			t.returnedFile(a)
			t.returnedFile(b)
		}
		return err
	}},
	{name: "NewConn", setUp: withUnixConn, call: func(t *fixture) error { return Second(scm.NewConn(t.socket)) }},
	{name: "Config.NewConn without files", networks: unixOnly, setUp: withUnixConn, call: func(t *fixture) error {
		return Second(scm.Config{NoFiles: true}.NewConn(t.socket))
	}},
	{name: "NewConnFD", ignored: nonblockIgnored, setUp: func(t *fixture) {
		t.setUpFDs = []int{t.dup(t.sock), t.dup(t.sock)}
	}, call: func(t *fixture) error { return t.callNewConnFD(scm.Config{}) }},
	{name: "Config.NewConnFD without files", networks: unixOnly, ignored: nonblockIgnored, setUp: func(t *fixture) {
		t.setUpFDs = []int{t.dup(t.sock), t.dup(t.sock)}
	}, call: func(t *fixture) error { return t.callNewConnFD(scm.Config{NoFiles: true}) }},

	{name: "NewConnFile", also: []string{"Config.NewConnFile"}, ignored: nonblockIgnored, setUp: func(t *fixture) {
		t.sockFile = os.NewFile(uintptr(t.dup(t.sock)), "socket")
	}, call: func(t *fixture) error { return t.returns(scm.NewConnFile(t.sockFile)) }},

	{name: "Dial", also: []string{"Config.Dial"}, retries: connRetries, ignored: netIgnored, notInjected: dialNotInjected, setUp: func(t *fixture) {
		t.bindSocket(filepath.Join(t.folder, "server"))
	}, call: func(t *fixture) error { return t.callDial(filepath.Join(t.folder, "server")) }},
	{name: "Dial with a long path", networks: unixOnly, retries: connRetries, ignored: openIgnored, notInjected: dialNotInjected, setUp: func(t *fixture) {
		Expect(os.Mkdir(t.longPath(), 0o700)).To(Succeed())
		t.bindSocket(t.longPath() + "/../server")
	}, call: func(t *fixture) error { return t.callDial(t.longPath() + "/../server") }},
	{name: "Listen", also: []string{"Config.Listen"}, networks: connected, retries: connRetries, ignored: netIgnored, notInjected: listenNotInjected, call: func(t *fixture) error {
		return t.callListen(scm.Config{})
	}},
	{name: "Config.Listen with a mode and no files", networks: unixOnly, retries: connRetries, ignored: netIgnored, notInjected: listenNotInjected, call: func(t *fixture) error {
		return t.callListen(scm.Config{Mode: 0o600, NoFiles: true})
	}},
	{name: "Config.Listen with a mode that the umask restricts", networks: unixOnly, retries: connRetries, ignored: openIgnored, notInjected: listenNotInjected, setUp: func(*fixture) {
		unix.Umask(0o77)
	}, call: func(t *fixture) error {
		return t.callListen(scm.Config{Mode: 0o660})
	}},
	{name: "Listen on a relative path", networks: unixOnly, retries: connRetries, ignored: with(netIgnored, map[string]string{
		"getcwd": "the relative path is enough to remove the file",
	}), notInjected: listenNotInjected, setUp: func(t *fixture) {
		Expect(os.Chdir(t.folder)).To(Succeed())
	}, call: func(t *fixture) error {
		return t.returns(scm.Listen(context.Background(), t.network, filepath.Base(t.path())))
	}},
	{name: "Listen over a stale file", networks: unixOnly, retries: connRetries, ignored: staleIgnored, notInjected: listenNotInjected, replaced: unknownFileSystem, setUp: func(t *fixture) {
		for ; t.calls < 2; t.calls++ {
			t.bindSocket(t.path())
			_ = unix.Close(t.setUpFDs[len(t.setUpFDs)-1])
		}
		t.calls, t.setUpFDs, t.stale = 0, nil, true
	}, call: func(t *fixture) error {
		return t.callListen(scm.Config{})
	}},
	{name: "ListenPacket", also: []string{"Config.ListenPacket"}, networks: gramOnly, retries: connRetries, ignored: netIgnored, call: func(t *fixture) error {
		return t.returns(scm.ListenPacket(context.Background(), t.network, t.path()))
	}},
	{name: "DialPacket", also: []string{"Config.DialPacket"}, networks: gramOnly, retries: connRetries, ignored: netIgnored, notInjected: dialNotInjected, setUp: func(t *fixture) {
		t.bindSocket(filepath.Join(t.folder, "server"))
	}, call: func(t *fixture) error {
		return t.returns(scm.DialPacket(context.Background(), t.network, t.path(), filepath.Join(t.folder, "server")))
	}},
	{name: "NewListener", networks: connected, ignored: map[string]string{"newfstatat": "without the file, Close leaves the removal to package net"}, setUp: withServer, call: func(t *fixture) error {
		return Second(scm.NewListener(t.server.UnixListener))
	}},
	{name: "Config.NewListener without files", networks: unixOnly, setUp: withServer, call: func(t *fixture) error {
		return Second(scm.Config{NoFiles: true}.NewListener(t.server))
	}},
	{name: "Listener.Accept", also: []string{"Listener.AcceptConn"}, networks: connected, retries: connRetries, ignored: netIgnored, setUp: withServer, call: func(t *fixture) error {
		c, err := t.server.Accept()
		if err == nil {
			t.returnedFile(c.(*scm.Conn))
		}
		return err
	}},
	{name: "Listener.Close", networks: unixOnly, once: true, ignored: closeIgnored, retries: connRetries, setUp: withServer, call: func(t *fixture) error {
		t.mustClose = []int{FDOf(t.server)}
		return t.server.Close()
	}},

	{name: "Conn.Write", setUp: withConn, retries: connRetries, sends: messageSet{payload: "hello"}, call: func(t *fixture) error {
		return Second(t.conn.Write([]byte("hello")))
	}},
	{name: "Conn.Read", setUp: withConn, retries: connRetries, receives: messageSet{payload: "hello"}, call: func(t *fixture) error {
		return Second(t.conn.Read(make([]byte, 5)))
	}},
	{name: "Conn.WriteFiles", setUp: withConn, retries: connRetries, sends: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		n, err := t.conn.WriteFiles([]byte("hello"), t.file, t.file)
		if err != nil {
			t.expectEqual(n, 0)
		}
		return err
	}},
	{name: "Conn.WriteBuffers", setUp: withConn, retries: connRetries, sends: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		return Second(t.conn.WriteBuffers([][]byte{[]byte("he"), []byte("llo")}, t.file, t.file))
	}},
	{name: "Conn.WriteFDs", setUp: withConn, retries: connRetries, sends: hello, call: func(t *fixture) error {
		return Second(t.conn.WriteFDs([]byte("hello"), t.cargo))
	}},
	{name: "Conn.Send", setUp: withConn, retries: connRetries, sends: hello, call: func(t *fixture) error {
		return t.conn.Send(&scm.Message{Buffers: [][]byte{[]byte("hello")}, FDs: []int{t.cargo}}, 0)
	}},
	{name: "Conn.SendFile", setUp: withConn, retries: connRetries, sends: messageSet{payload: "name", files: 1}, call: func(t *fixture) error {
		return t.conn.SendFile("name", t.file)
	}},
	{name: "Conn.SendConn", setUp: withConn, retries: connRetries, sends: messageSet{payload: "\x00", files: 1}, call: func(t *fixture) error {
		return t.conn.SendConn(fdtest.AsSocket(t.file))
	}},
	{name: "Conn.SendListener", setUp: withConn, retries: connRetries, sends: messageSet{payload: "\x00", files: 1}, call: func(t *fixture) error {
		return t.conn.SendListener(fdtest.AsSocket(t.file))
	}},
	{name: "Conn.ReadFiles", setUp: withConn, retries: connRetries, ignored: fileIgnored, receives: messageSet{payload: "hello", files: 2}, call: readTwoFiles},
	{name: "Conn.ReadFiles with terminals", setUp: withConn, retries: connRetries, ignored: unpolledIgnored, receives: messageSet{payload: "hello", files: 2, kind: "terminal"}, call: readTwoFiles},
	{name: "Conn.RecvFile with a terminal", networks: unixOnly, setUp: withConn, retries: connRetries, ignored: unpolledIgnored, receives: messageSet{payload: "hello", files: 1, kind: "terminal"}, call: func(t *fixture) error {
		return t.returns(t.conn.RecvFile())
	}},
	{name: "Conn.ReadFiles with too many files", setUp: withConn, retries: connRetries, ignored: truncatedIgnored, receives: messageSet{payload: "hello", files: 3}, call: func(t *fixture) error {
		return requireTruncated(Third(t.conn.ReadFiles(make([]byte, 5), 2)))
	}},
	{name: "Conn.ReadBuffers", setUp: withConn, retries: connRetries, ignored: fileIgnored, receives: hello, call: func(t *fixture) error {
		_, files, err := t.conn.ReadBuffers([][]byte{make([]byte, 2), make([]byte, 3)}, 1)
		for _, f := range files {
			t.returnedFile(f)
		}
		return err
	}},
	{name: "Conn.Recv and Message.Close", also: []string{"Message.Close"}, setUp: withConn, retries: connRetries, ignored: rangeCloseIgnored, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		err := t.conn.Recv(&m, 0)
		m.Close()
		return err
	}},
	{name: "Conn.Recv", setUp: withConn, retries: connRetries, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		return t.recvHello(2, func(m *scm.Message) error { return t.conn.Recv(m, 0) })
	}},
	{name: "Conn.Recv with Config.Expect", setUp: func(t *fixture) {
		t.makeConn()
		conn := OK(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1, Kind: scm.KindPipe}}.NewConn(t.conn.UnixConn))
		t.conn = conn
	}, retries: connRetries, ignored: pipeIgnored, receives: hello, call: func(t *fixture) error {
		return t.recvHello(1, func(m *scm.Message) error { return t.conn.Recv(m, 0) })
	}},
	{name: "Conn.ReadFDs", setUp: withConn, retries: connRetries, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		fds := make([]int, 2)
		_, nfd, err := t.conn.ReadFDs(make([]byte, 5), fds)
		if err == nil {
			t.receivedFDs(2, fds[:nfd]...)
		} else {
			t.expectEqual(nfd, 0)
		}
		return err
	}},
	{name: "Conn.ReadFDs and CloseFDs", also: []string{"CloseFDs"}, setUp: withConn, retries: connRetries, ignored: closeIgnored, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		fds := make([]int, 2)
		_, nfd, err := t.conn.ReadFDs(make([]byte, 5), fds)
		scm.CloseFDs(fds[:nfd]...)
		return err
	}},
	{name: "Conn.Recv and Message.Files", also: []string{"Message.Files"}, setUp: withConn, retries: connRetries, ignored: fileIgnored, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, 2)}
		if err := t.conn.Recv(&m, 0); err != nil {
			return err
		}
		files, err := m.Files()
		t.expectEqual(m.NFD, 0)
		if err == nil {
			t.expectEqual(len(files), 2)
		}
		for _, f := range files {
			t.returnedFile(f)
		}
		return err
	}},
	{name: "Conn.RecvFile", setUp: withConn, retries: connRetries, ignored: fileIgnored, receives: hello, call: func(t *fixture) error {
		f, err := t.conn.RecvFile()
		if err == nil {
			t.returnedFile(f)
			t.expectEqual(f.Name(), "hello")
		}
		return err
	}},
	{name: "Conn.RecvFile with two files", setUp: withConn, retries: connRetries, ignored: truncatedIgnored, receives: messageSet{payload: "hello", files: 2}, call: func(t *fixture) error {
		return requireTruncated(Second(t.conn.RecvFile()))
	}},
	{name: "Conn.RecvConn", setUp: withConn, retries: connRetries, ignored: socketIgnored, replaced: unknownFamily, receives: messageSet{payload: "\x00", files: 1, kind: "socket"}, call: func(t *fixture) error {
		c, err := t.conn.RecvConn()
		if err == nil {
			t.returnedFile(c.(*net.UnixConn))
		}
		return err
	}},
	{name: "Conn.RecvConn with a TCP connection", networks: unixOnly, setUp: withConn, retries: connRetries, ignored: with(socketIgnored, map[string]string{
		"setsockopt": "package net: TCP_NODELAY and keepalive stay as they were",
	}), replaced: unknownFamily, receives: messageSet{payload: "\x00", files: 1, kind: "tcp"}, call: func(t *fixture) error {
		c, err := t.conn.RecvConn()
		if err == nil {
			t.returnedFile(c.(*net.TCPConn))
		}
		return err
	}},
	{name: "Conn.RecvConn with a pipe", setUp: withConn, retries: connRetries, ignored: socketIgnored, replaced: unknownFamily, receives: messageSet{payload: "\x00", files: 1}, call: func(t *fixture) error {
		err := Second(t.conn.RecvConn())
		if errors.Is(err, unix.ENOTSOCK) {
			return nil
		}
		return err
	}},
	{name: "Conn.RecvListener", setUp: withConn, retries: connRetries, ignored: socketIgnored, replaced: unknownFamily, receives: messageSet{payload: "\x00", files: 1, kind: "listener"}, call: func(t *fixture) error {
		l, err := t.conn.RecvListener()
		if err == nil {
			t.returnedFile(l.(*net.UnixListener))
		}
		return err
	}},
	{name: "Conn.Close", setUp: withConn, once: true, call: func(t *fixture) error {
		t.mustClose = []int{t.sock}
		return t.conn.Close()
	}},
	{name: "Conn.PeerCred", networks: unixOnly, setUp: withConn, call: func(t *fixture) error { return Second(t.conn.PeerCred()) }},
	{name: "Conn.PeerPIDFD", networks: unixOnly, setUp: withConn, call: func(t *fixture) error {
		return t.returnsFD(t.conn.PeerPIDFD())
	}},
	{name: "Conn.PassCred", networks: unixOnly, setUp: withConn, call: func(t *fixture) error { return t.conn.PassCred(true) }},
	{name: "Conn.PassPIDFD", networks: unixOnly, setUp: withConn, call: func(t *fixture) error { return t.conn.PassPIDFD(true) }},
	{name: "Conn.PassRights", networks: unixOnly, setUp: withConn, call: func(t *fixture) error { return t.conn.PassRights(false) }},

	{name: "fdchannel.NewConnectedSockets", networks: packetOnly, call: func(t *fixture) error {
		pair, err := fdchannel.NewConnectedSockets()
		if err == nil {
			t.returnedFD(pair[:]...)
		}
		return err
	}},
	{name: "fdchannel.Endpoint.SendFD", networks: packetOnly, sends: messageSet{files: 1}, call: func(t *fixture) error {
		return fdchannel.NewEndpoint(t.sock).SendFD(t.cargo)
	}},
	{name: "fdchannel.Endpoint.RecvFD", networks: packetOnly, receives: messageSet{files: 1}, call: func(t *fixture) error {
		return t.recvOneFD(fdchannel.NewEndpoint(t.sock).RecvFD())
	}},
	{name: "fdchannel.Endpoint.RecvFDNonblock", networks: packetOnly, receives: messageSet{files: 1}, call: func(t *fixture) error {
		return t.recvOneFD(fdchannel.NewEndpoint(t.sock).RecvFDNonblock())
	}},
	{name: "fdchannel.Endpoint.RecvFD with two descriptors", networks: packetOnly, ignored: truncatedIgnored, receives: messageSet{files: 2}, call: func(t *fixture) error {
		return requireTruncated(Second(fdchannel.NewEndpoint(t.sock).RecvFD()))
	}},
	{name: "fdchannel.Endpoint.Shutdown", networks: packetOnly, ignored: map[string]string{"shutdown": "Shutdown returns no error"}, call: func(t *fixture) error {
		fdchannel.NewEndpoint(t.sock).Shutdown()
		return nil
	}},
	{name: "fdchannel.Endpoint.Destroy", networks: packetOnly, once: true, ignored: closeIgnored, setUp: func(t *fixture) {
		t.setUpFDs = []int{t.dup(t.sock)}
	}, call: func(t *fixture) error {
		fdchannel.NewEndpoint(t.setUpFDs[0]).Destroy()
		t.closedByCall(0)
		return nil
	}},

	{name: "wire.DialNotify", networks: gramOnly, retries: wireRetries, setUp: func(t *fixture) {
		path := filepath.Join(t.folder, "notify")
		t.bindSocket(path)
		Expect(os.Setenv("NOTIFY_SOCKET", path)).To(Succeed())
	}, call: func(t *fixture) error {
		fd, err := wire.DialNotify()
		if err == nil {
			t.returnedFD(int(fd))
		}
		return err
	}},
	{name: "wire.NotifyStore", networks: gramOnly, retries: wireRetries, sends: messageSet{payload: "FDSTORE=1\nFDNAME=name", files: 2}, call: func(t *fixture) error {
		return wire.NotifyStore(wire.FD(t.sock), "name", t.cargo, t.cargo)
	}},
	{name: "wire.NotifyRemove", networks: gramOnly, retries: wireRetries, sends: messageSet{payload: "FDSTOREREMOVE=1\nFDNAME=name"}, call: func(t *fixture) error {
		return wire.NotifyRemove(wire.FD(t.sock), "name")
	}},
	{name: "wire.SendAPUEError", partial: true, once: true, networks: unixOnly, retries: wireRetries, sends: messageSet{payload: "no\x00\x01"}, call: func(t *fixture) error {
		return wire.SendAPUEError(wire.FD(t.sock), 1, "no")
	}},
}

// Add two operations for each format of package wire.
func init() {
	for _, f := range wire.Formats() {
		text := map[string]string{"book": "text", "conmon": "name", "runc": "name", "notify": "READY=1", "qmp": `{}`, "seccomp-listener": `{"fds":["a"]}`, "skalibs-ancil": "x", "skalibs-unixmessage": "text"}[f.Name()]
		operations = append(operations, operation{
			name: "wire." + f.Name() + ".Send", networks: []string{f.Network()}, retries: wireRetries,
			sends: messageSet{payload: text, files: 1, format: f},
			call:  func(t *fixture) error { return f.Send(wire.FD(t.sock), text, t.cargo) },
		}, operation{
			name: "wire." + f.Name() + ".Recv", networks: []string{f.Network()}, retries: wireRetries,
			receives: messageSet{payload: text, files: 1, format: f},
			once:     true, // if a message takes several receives, a failed call may have consumed a part of it
			call: func(t *fixture) error {
				got, fds, err := f.Recv(wire.FD(t.sock))
				if err == nil {
					t.receivedFDs(1, fds...)
					t.expectEqual(got, text)
				}
				return err
			},
		})
	}
}

// findOperation returns the operation with a name, which may be a faulty one.
func findOperation(name string) operation {
	for _, o := range slices.Concat(operations, faultyOps(), []operation{allWithoutSystemCall}) {
		if o.name == name {
			return o
		}
	}
	panic("no operation " + name)
}

// function returns the name of the function that the operation calls.
func (o operation) function() string {
	name, _, _ := strings.Cut(o.name, " ")
	return name
}

// requireTruncated returns nil for a TruncatedError, and an error if the call did not report the truncation.
func requireTruncated(err error) error {
	var truncated *scm.TruncatedError
	switch {
	case errors.As(err, &truncated):
		return nil
	case err == nil:
		return errors.New("the call did not report that descriptors were lost")
	}
	return err
}

// readTwoFiles calls Conn.ReadFiles for a message with two files.
func readTwoFiles(t *fixture) error {
	_, files, err := t.conn.ReadFiles(make([]byte, 5), 2)
	if err == nil {
		t.expectEqual(len(files), 2)
	}
	for _, f := range files {
		t.returnedFile(f)
	}
	return err
}

// recvHello receives a message with n files.
func (t *fixture) recvHello(n int, recv func(*scm.Message) error) error {
	m := scm.Message{Buffers: [][]byte{make([]byte, 5)}, FDs: make([]int, n)}
	err := recv(&m)
	if err == nil {
		t.receivedFDs(n, m.FDs[:m.NFD]...)
		t.expectEqual(string(m.Buffers[0][:m.N]), "hello")
	} else {
		t.expectEqual(m.NFD, 0)
	}
	return err
}

// recvOneFD checks the results of a call that receives one descriptor.
func (t *fixture) recvOneFD(fd int, err error) error {
	if err == nil {
		t.receivedFDs(1, fd)
	} else {
		t.expectEqual(fd, -1)
	}
	return err
}

func (t *fixture) dup(fd int) int {
	return opened(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))
}

// opened returns a new descriptor.
func opened(fd int, err error) int {
	Expect(err).NotTo(HaveOccurred())
	return fd
}

// closedByCall notes that a call must have closed a descriptor of setUp.
func (t *fixture) closedByCall(i int) {
	t.mustClose = append(t.mustClose, t.setUpFDs[i])
	t.setUpFDs[i] = -1
}

// callNewConnFD makes a Conn from a descriptor of setUp.
func (t *fixture) callNewConnFD(config scm.Config) error {
	c, err := config.NewConnFD(t.setUpFDs[t.calls])
	if err == nil {
		t.closedByCall(t.calls)
		t.returnedFile(c)
	}
	return err
}

// callNewFile makes a file from a descriptor of setUp. NewFile keeps the descriptor or replaces it.
func (t *fixture) callNewFile() error {
	f, err := scm.NewFile(t.setUpFDs[0], "file")
	switch {
	case err != nil:
	case FDOf(f) == t.setUpFDs[0]:
		t.setUpFDs[0] = -1
		t.closers = append(t.closers, f)
	default:
		t.closedByCall(0)
		t.returnedFile(f)
	}
	return err
}

// longPath returns a path that is longer than sun_path.
func (t *fixture) longPath() string { return filepath.Join(t.folder, strings.Repeat("l", 120)) }

// bindSocket makes a socket of the run's network, binds it and, unless it is a datagram socket, listens.
func (t *fixture) bindSocket(path string) {
	typ := map[string]int{"unix": unix.SOCK_STREAM, "unixgram": unix.SOCK_DGRAM, "unixpacket": unix.SOCK_SEQPACKET}[t.network]
	sock := OK(unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0))
	Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: filepath.Clean(path)})).To(Succeed())
	if t.network != "unixgram" {
		Expect(unix.Listen(sock, 8)).To(Succeed())
	}
	t.setUpFDs = append(t.setUpFDs, sock)
}

func (t *fixture) callDial(path string) error {
	return t.returns(scm.Dial(context.Background(), t.network, path))
}

func (t *fixture) callListen(config scm.Config) error {
	return t.returns(config.Listen(context.Background(), t.network, t.path()))
}

// withServer makes a Listener with two connections in its queue.
func withServer(t *fixture) {
	path := filepath.Join(t.folder, "server")
	l := OK(scm.Listen(context.Background(), t.network, path))
	t.server = l
	t.setDeadline()
	for range 2 {
		c := OK(scm.Dial(context.Background(), t.network, path))
		t.setUpFDs = append(t.setUpFDs, t.dup(FDOf(c)))
		Expect(c.Close()).To(Succeed())
	}
}
