//go:build linux

package torture

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// The partner is the test process. It holds the other end of the child's socket and of
// every file, from which it learns when the child's descriptors are closed.

// witness is the partner's end of a file that the child receives: the read end of a pipe,
// or a connected socket. It reports when the last descriptor for the file is closed.
type witness struct {
	end  int
	kind string
	name string // the address of a listening socket
}

// partner holds the partner's descriptors for one run.
type partner struct {
	op        operation
	network   string
	sock      int
	witnesses []witness
}

// newPartner makes the files of a run. It returns the child's end of the socket and a file to send.
func newPartner(op operation, network string) (t *partner, sock, cargo int) {
	GinkgoHelper()
	t = &partner{op: op, network: network}
	typ := map[string]int{"unix": unix.SOCK_STREAM, "unixgram": unix.SOCK_DGRAM, "unixpacket": unix.SOCK_SEQPACKET}[network]
	pair := OK(unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))
	t.sock = pair[0]
	cargo = t.file("")
	for range 2 {
		if op.receives.none() {
			break
		}
		var fds []int
		for range op.receives.files {
			fds = append(fds, t.file(op.receives.kind))
		}
		if op.receives.format != nil {
			Expect(op.receives.format.Send(wire.FD(t.sock), op.receives.payload, fds...)).To(Succeed())
		} else {
			Expect(unix.Sendmsg(t.sock, []byte(op.receives.payload), unix.UnixRights(fds...), nil, 0)).To(Succeed())
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	return t, pair[1], cargo
}

// file makes a file to send, keeps the other end as a witness, and returns the descriptor to send.
func (t *partner) file(kind string) (fd int) {
	GinkgoHelper()
	var p [2]int
	var err error
	switch kind {
	case "socket":
		p, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	case "listener":
		return t.listener()
	case "tcp":
		return t.tcp()
	case "terminal":
		p = terminal()
	default:
		err = unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
	}
	Expect(err).NotTo(HaveOccurred())
	t.witnesses = append(t.witnesses, witness{end: p[0], kind: kind})
	return p[1]
}

// terminal makes both ends of a terminal.
func terminal() (ends [2]int) {
	GinkgoHelper()
	master := OK(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
	Expect(unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)).To(Succeed())
	slave := OK(unix.IoctlRetInt(master, unix.TIOCGPTPEER))
	return [2]int{master, slave}
}

// listener makes a listening socket. Its last descriptor is closed once connect fails with ECONNREFUSED.
func (t *partner) listener() int {
	GinkgoHelper()
	sock := OK(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))
	name := AbstractName()
	Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: name})).To(Succeed())
	Expect(unix.Listen(sock, 1)).To(Succeed())
	t.witnesses = append(t.witnesses, witness{end: -1, kind: "listener", name: name})
	return sock
}

// tcp makes a TCP connection over the loopback interface, and keeps one end as a witness.
func (t *partner) tcp() int {
	GinkgoHelper()
	socket := func() int {
		sock := OK(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
		return sock
	}
	l, client := socket(), socket()
	defer func() { _ = unix.Close(l) }()
	Expect(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})).To(Succeed())
	Expect(unix.Listen(l, 1)).To(Succeed())
	name := OK(unix.Getsockname(l))
	Expect(unix.Connect(client, name)).To(Succeed())
	Expect(unix.SetNonblock(client, true)).To(Succeed())
	server, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	Expect(err).NotTo(HaveOccurred())
	t.witnesses = append(t.witnesses, witness{end: server, kind: "tcp"})
	return client
}

// waitUntilClosed waits until no process has a descriptor for the file. It returns the number of bytes read from it.
func (w witness) waitUntilClosed() (bytes int, err error) {
	deadline := time.Now().Add(Hang)
	for time.Now().Before(deadline) {
		if w.kind == "listener" {
			sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return 0, err
			}
			err = unix.Connect(sock, &unix.SockaddrUnix{Name: w.name})
			_ = unix.Close(sock)
			if err == unix.ECONNREFUSED {
				return 0, nil
			}
			time.Sleep(time.Millisecond)
			continue
		}
		n, err := unix.Read(w.end, make([]byte, 16))
		switch {
		case err == unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(w.end), Events: unix.POLLIN}}, 100)
		case err == unix.ECONNRESET, err == nil && n == 0, err == unix.EIO && w.kind == "terminal":
			return bytes, nil
		case err == nil:
			bytes += n
		case err != unix.EINTR:
			return bytes, err
		}
	}
	return bytes, fmt.Errorf("a descriptor for it is still open after %v", Hang)
}

// traffic is what the partner received over the socket.
type traffic struct {
	messages []string
	bytes    string
	files    int
	end      bool // the end of the stream was reached, or a datagram socket's queue is empty
}

// receiveAll receives everything that the child sent, up to the end of the stream, and closes the received files.
func (t *partner) receiveAll() (s traffic) {
	GinkgoHelper()
	deadline := time.Now().Add(Hang)
	for time.Now().Before(deadline) {
		p, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4*253))
		n, oobn, _, _, err := unix.Recvmsg(t.sock, p, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && t.network == "unixgram", err == unix.ECONNRESET, err == unix.ECONNREFUSED:
			s.end = true
			return s
		case err == unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(t.sock), Events: unix.POLLIN}}, 100)
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		messages := OK(unix.ParseSocketControlMessage(oob[:oobn]))
		files := 0
		for i := range messages {
			fds := OK(unix.ParseUnixRights(&messages[i]))
			files += len(fds)
			for _, fd := range fds {
				_, _ = unix.Write(fd, []byte{0})
				_ = unix.Close(fd)
			}
		}
		if n == 0 && files == 0 {
			s.end = true
			return s
		}
		s.messages = append(s.messages, fmt.Sprintf("%q with %d", p[:n], files))
		s.bytes += string(p[:n])
		s.files += files
	}
	return s
}

func (t *partner) close() {
	_ = unix.Close(t.sock)
	for _, w := range t.witnesses {
		if w.end >= 0 {
			_ = unix.Close(w.end)
		}
	}
}
