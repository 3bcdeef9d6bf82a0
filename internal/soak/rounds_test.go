//go:build linux

package soak

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// The rounds of a soak. Each closes what it opens, whatever is cut off in it.

var soakRounds = []func(s *soak, r *rand.Rand, network string){
	(*soak).exchanges, (*soak).handsOver, (*soak).accepts, (*soak).cuts, (*soak).fills, (*soak).overloads,
	soakPartner("echo"), soakPartner("hoard"), soakPartner("silent"), soakPartner("flood"), soakPartner("garbage"), soakPartner("dies"),
}

// pair makes two Conns, or none at the limit.
func (s *soak) pair(network string) (a, b *scm.Conn) {
	a, b, err := scm.Pair(network)
	if err != nil {
		s.ends(err)
		return nil, nil
	}
	s.hurries(a)
	s.hurries(b)
	return a, b
}

// hurries gives a Conn a deadline that ends what would wait for what never comes.
func (s *soak) hurries(c *scm.Conn) { s.ends(c.SetDeadline(time.Now().Add(Hang))) }

// sends sends up to n files, and reports whether there is any use in going on.
func (s *soak) sends(c *scm.Conn, n int) bool {
	files, plain := s.files(n)
	k, err := c.WriteFiles([]byte("x"), plain...)
	s.sent(files, k > 0)
	s.ends(err)
	return err == nil
}

// receives receives until the end, with room for so many.
func (s *soak) receives(c *scm.Conn, room int, each func()) {
	p := make([]byte, 8)
	for {
		n, files, err := c.ReadFiles(p, room)
		s.received(files)
		s.ends(err)
		if err != nil && n == 0 {
			return
		}
		each()
	}
}

// exchanges: many senders and receivers over one pair, which somebody closes in the
// middle or nobody does.
func (s *soak) exchanges(r *rand.Rand, network string) {
	a, b := s.pair(network)
	if a == nil {
		return
	}
	cut, closer := int64(r.IntN(60)), []*scm.Conn{a, b}[r.IntN(2)]
	most, room := 1+r.IntN(5), 1+r.IntN(5)
	var came atomic.Int64
	var senders, receivers sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			for range 12 {
				if !s.sends(a, most) {
					return
				}
			}
		})
		receivers.Go(func() {
			s.receives(b, room, func() {
				if came.Add(1) == cut {
					_ = closer.Close()
				}
			})
		})
	}
	senders.Wait()
	_ = a.Close()
	if network == "unixgram" { // has no end
		_ = b.SetReadDeadline(time.Unix(1, 0))
	}
	receivers.Wait()
	_ = b.Close()
}

// handsOver passes one end of a connection on, some times over, and then uses it.
func (s *soak) handsOver(r *rand.Rand, network string) {
	a, b := s.pair(network)
	if a == nil {
		return
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	x, y := s.pair("unix")
	if x == nil {
		return
	}
	defer func() { _ = x.Close() }()
	for range 1 + r.IntN(4) {
		err := a.SendConn(y)
		_ = y.Close()
		if err != nil {
			s.ends(err)
			return
		}
		got, err := b.RecvConn()
		if err != nil {
			s.ends(err)
			return
		}
		atomic.AddInt64(&s.Passed, 1)
		if y, err = scm.NewConn(got.(*net.UnixConn)); err != nil {
			s.ends(err)
			return
		}
		s.hurries(y)
	}
	defer func() { _ = y.Close() }()
	if s.sends(x, 2) {
		_, files, err := y.ReadFiles(make([]byte, 1), 2)
		s.received(files)
		s.ends(err)
	}
}

// accepts: some dial and send, of whom not all are accepted.
func (s *soak) accepts(r *rand.Rand, network string) {
	if network == "unixgram" {
		return
	}
	name := AbstractName()
	l, err := scm.Listen(context.Background(), network, name)
	if err != nil {
		s.ends(err)
		return
	}
	_ = l.SetDeadline(time.Now().Add(Hang))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c, err := scm.Dial(context.Background(), network, name)
			if err != nil {
				s.ends(err)
				return
			}
			s.hurries(c)
			s.sends(c, 1)
			_ = c.Close()
		})
	}
	clients.Wait() // the queue has room for them
	_ = l.SetDeadline(time.Now().Add(10 * time.Millisecond))
	for range r.IntN(4) {
		c, err := l.AcceptConn()
		if err != nil {
			s.ends(err)
			break
		}
		s.hurries(c)
		s.receives(c, 1, func() {})
		_ = c.Close()
	}
	_ = l.Close()
}

// cuts: the pair's functions and messages, with too little room, on a socket whose
// options put other control data before the descriptors.
func (s *soak) cuts(r *rand.Rand, network string) {
	typ, err := soakType(network)
	Expect(err).NotTo(HaveOccurred())
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		s.ends(err)
		return
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	for _, option := range []int{unix.SO_PASSCRED, unix.SO_TIMESTAMP, unix.SO_PASSPIDFD, unix.SO_PASSSEC} {
		if r.IntN(4) == 0 {
			_ = unix.SetsockoptInt(p[1], unix.SOL_SOCKET, option, 1)
		}
	}
	for range 8 {
		files, plain := s.files(1 + r.IntN(4))
		m := scm.Message{Buffers: [][]byte{[]byte("x")}}
		for _, f := range plain {
			m.FDs = append(m.FDs, NumberOf(f))
		}
		err := scm.Send(p[0], &m, unix.MSG_NOSIGNAL)
		s.sent(files, err == nil)
		s.ends(err)

		got := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, r.IntN(5))}
		switch r.IntN(4) {
		case 0:
			_, fd, err := scm.ReadFD(p[1], got.Buffers[0])
			s.ends(err)
			if fd >= 0 {
				s.received([]*os.File{os.NewFile(uintptr(fd), "")})
			}
			continue
		case 1: // each look is a number of its own, and says nothing to the sender
			s.ends(scm.Recv(p[1], &got, unix.MSG_PEEK))
			for _, fd := range got.FDs[:got.NFD] {
				_ = unix.Close(fd)
			}
		}
		s.ends(scm.Recv(p[1], &got, 0))
		for _, fd := range got.FDs[:got.NFD] {
			s.received([]*os.File{os.NewFile(uintptr(fd), "")})
		}
	}
}

func soakType(network string) (int, error) {
	return map[string]int{"unix": unix.SOCK_STREAM, "unixgram": unix.SOCK_DGRAM, "unixpacket": unix.SOCK_SEQPACKET}[network], nil
}

// fills: the table of descriptors is full while messages come. Who else is at work
// then has to bear it.
func (s *soak) fills(_ *rand.Rand, network string) {
	a, b := s.pair(network)
	if a == nil {
		return
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	s.partners.Lock()
	defer s.partners.Unlock()
	if !s.sends(a, 3) {
		return
	}
	// Not by /proc, to open which a number has to be free.
	highest := soakLimit - 1
	for !fdtest.IsOpen(highest) {
		highest--
	}
	low := unix.Rlimit{Cur: uint64(highest + 1), Max: soakLimit}
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &low)).To(Succeed())
	var full []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			s.ends(err)
			break
		}
		full = append(full, fd)
	}
	_, files, err := b.ReadFiles(make([]byte, 1), 3)
	s.received(files)
	s.ends(err)
	for _, fd := range full {
		_ = unix.Close(fd)
	}
	low.Cur = soakLimit
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &low)).To(Succeed())
}

// overloads: more is sent than may be in flight, to one who does not read yet.
func (s *soak) overloads(_ *rand.Rand, network string) {
	a, b := s.pair(network)
	if a == nil {
		return
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	_ = a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	f := s.file()
	if f == nil {
		return
	}
	// The file is the same each time: it goes to nobody.
	many := slices.Repeat([]*os.File{f.File}, scm.MaxFDs)
	for range 100 {
		if _, err := a.WriteFiles([]byte("x"), many...); err != nil {
			s.ends(err)
			break
		}
	}
	s.sent([]*sentFile{f}, true)
}

// soakPartner is a round with a process that is of some kind, and is killed.
func soakPartner(kind string) func(s *soak, r *rand.Rand, network string) {
	return func(s *soak, r *rand.Rand, network string) {
		typ, err := soakType(network)
		Expect(err).NotTo(HaveOccurred())
		s.partners.RLock() // no table is full while it starts
		p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			s.partners.RUnlock()
			s.ends(err)
			return
		}
		theirs := os.NewFile(uintptr(p[1]), "theirs")
		cmd := ChildCommand("soak-partner", kind)
		cmd.ExtraFiles = []*os.File{theirs}
		err = cmd.Start()
		s.partners.RUnlock()
		_ = theirs.Close()
		c, errConn := scm.Config{KeepTruncated: r.IntN(2) == 0}.NewConnFD(p[0])
		if errConn != nil {
			_ = unix.Close(p[0])
		}
		if err != nil || errConn != nil {
			s.ends(err)
			s.ends(errConn)
			if c != nil {
				_ = c.Close()
			}
		} else {
			s.plays(r, c, cmd, kind)
			_ = c.Close()
		}
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			atomic.AddInt64(&s.Killed, 1)
		}
	}
}

// plays sends to a partner and receives from it, until one of them is gone.
func (s *soak) plays(r *rand.Rand, c *scm.Conn, cmd *exec.Cmd, kind string) {
	s.hurries(c)
	own := kind == "echo" // what comes back is ours; what others send is left alone
	limit, kill := 20+r.IntN(20), r.IntN(40)
	if kind == "silent" || kind == "hoard" {
		_ = c.SetDeadline(time.Now().Add(30 * time.Millisecond))
	}
	if kind == "echo" || kind == "silent" || kind == "hoard" {
		for range limit {
			if !s.sends(c, 1+r.IntN(3)) {
				return
			}
			if kind == "echo" {
				if c.RemoteAddr().Network() == "unixgram" { // who was killed gives no sign
					_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				}
				n, files, err := c.ReadFiles(make([]byte, 1), 3)
				s.takes(files, own)
				s.ends(err)
				if n == 0 {
					return
				}
			}
			if kill--; kill == 0 {
				_ = cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		return
	}
	if kind == "dies" {
		_ = cmd.Process.Signal(syscall.SIGKILL)
	}
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond)) // a datagram socket tells no end
	for range limit {
		n, files, err := c.ReadFiles(make([]byte, 8), r.IntN(5))
		s.takes(files, own)
		s.ends(err)
		if err != nil && n == 0 {
			return
		}
	}
}

// takes closes files, and lets their sender know if they are ours.
func (s *soak) takes(files []*os.File, own bool) {
	if own {
		s.received(files)
		return
	}
	for _, f := range files {
		_ = f.Close()
	}
}

// soak-partner is at the other end, of descriptor 3, and of one kind or another.
var _ = Child("soak-partner", func(args []string) {
	const sock = 3
	unix.CloseOnExec(sock)
	time.AfterFunc(2*Hang, func() { os.Exit(3) })
	var p [2]int
	Expect(unix.Pipe2(p[:], unix.O_CLOEXEC)).To(Succeed())
	oob, buf := make([]byte, unix.CmsgSpace(4*scm.MaxFDs)), make([]byte, 64)
	for i := 0; ; i++ {
		switch args[0] {
		case "silent", "dies":
			time.Sleep(2 * Hang)
		case "echo", "hoard":
			n, oobn, _, _, err := unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
			if err != nil || n == 0 && oobn == 0 {
				return
			}
			if args[0] == "hoard" {
				continue
			}
			if unix.Sendmsg(sock, buf[:n], oob[:oobn], nil, unix.MSG_NOSIGNAL) != nil {
				return
			}
			messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
			for j := range messages {
				fds, _ := unix.ParseUnixRights(&messages[j])
				for _, fd := range fds {
					_ = unix.Close(fd)
				}
			}
		case "flood": // up to 253 descriptors, its own socket among them, with payloads of every length
			fds := slices.Repeat([]int{p[i%2], sock}, 1+(i*37)%126)
			if err := unix.Sendmsg(sock, buf[:i%64], unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil && err != unix.ETOOMANYREFS {
				return
			}
		case "garbage": // the kernel refuses some, and delivers others
			control := [][]byte{
				make([]byte, i%64),
				append(unix.UnixRights(p[0]), byte(i)),
				append(unix.UnixRights(p[0]), unix.UnixRights(p[1], sock)...),
				append(unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}), unix.UnixRights(p[0])...),
				unix.UnixRights(-1, 1<<30),
			}[i%5]
			if err := unix.Sendmsg(sock, buf[:1+i%8], control, nil, unix.MSG_NOSIGNAL); err == unix.EPIPE || err == unix.ECONNRESET {
				return
			}
		}
	}
})
