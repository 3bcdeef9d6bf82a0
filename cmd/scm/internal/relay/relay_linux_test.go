package relay

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

var types = map[string]int{"stream": unix.SOCK_STREAM, "seqpacket": unix.SOCK_SEQPACKET}

// start starts a relay for a new listener. It returns the address for clients and the listener, on which nothing
// blocks.
func start(t testing.TB, r *Relay) (address string, server int) {
	t.Helper()
	l, server := listen(t, r, 64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), server
}

// listen returns listeners for the clients of a relay, and for the relay.
func listen(t testing.TB, r *Relay, backlog int) (l *net.UnixListener, server int) {
	t.Helper()
	dir := t.TempDir()
	r.Connect = filepath.Join(dir, "server")
	server, err := Listen(r.Type, r.Connect)
	must(t, err)
	t.Cleanup(func() { unix.Close(server) })
	must(t, os.Chmod(r.Connect, 0o777))
	must(t, unix.Listen(server, backlog)) // changes it
	network := "unix"
	if r.Type == unix.SOCK_SEQPACKET {
		network = "unixpacket"
	}
	l, err = net.ListenUnix(network, &net.UnixAddr{Net: network, Name: filepath.Join(dir, "relay")})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l, server
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dial(t testing.TB, address string, typ int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: address}))
	return fd
}

func accept(t testing.TB, server int) int {
	t.Helper()
	fd, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
	must(t, err)
	return fd
}

// connected returns both ends of a connection through the relay.
func connected(t testing.TB, r *Relay) (client, server int) {
	t.Helper()
	address, l := start(t, r)
	client = dial(t, address, r.Type)
	t.Cleanup(func() { unix.Close(client) })
	server = accept(t, l)
	t.Cleanup(func() { unix.Close(server) })
	return client, server
}

// A sent message has the bytes from start to end, and files that are named by their sizes.
type sent struct {
	start, end int
	files      []int
}

// files returns descriptors of files of the sizes 0, 1, 2 …
var files = sync.OnceValues(func() (fds []int, err error) {
	for size := range 20 {
		fd, err := unix.MemfdCreate("relay", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		if err := unix.Ftruncate(fd, int64(size)); err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
})

// randomMessages returns n messages of one direction.
func randomMessages(rnd *rand.Rand, n int, typ int) (list []sent) {
	position := 0
	for range n {
		sizes := []int{1, 1, 2, 3, 7, 64, 300}
		if rnd.IntN(50) == 0 {
			sizes = []int{5000, 10000, 40000}
		}
		if typ == unix.SOCK_SEQPACKET {
			sizes = append(sizes, 0)
		}
		m := sent{start: position}
		position += sizes[rnd.IntN(len(sizes))]
		m.end = position
		if counts := []int{0, 0, 0, 1, 2, 5}; m.end > m.start || typ == unix.SOCK_SEQPACKET {
			for range counts[rnd.IntN(len(counts))] {
				m.files = append(m.files, rnd.IntN(20))
			}
		}
		if rnd.IntN(500) == 0 && m.end > m.start {
			for len(m.files) < MaxFDs {
				m.files = append(m.files, rnd.IntN(20))
			}
		}
		list = append(list, m)
	}
	return list
}

// content returns the bytes from start to end of a direction. Each byte depends on its position.
func content(start, end int) []byte {
	data := make([]byte, end-start)
	for i := range data {
		position := uint32(start + i)
		data[i] = byte(position * 2654435761 >> 20)
	}
	return data
}

// pick returns the descriptors of files.
func pick(fds, files []int) (list []int) {
	for _, f := range files {
		list = append(list, fds[f])
	}
	return list
}

// sendAll sends the messages, at random times, and then shuts down its output.
func sendAll(rnd *rand.Rand, sock int, list []sent) error {
	fds, err := files()
	if err != nil {
		return err
	}
	for _, m := range list {
		if rnd.IntN(20) == 0 {
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
		}
		pass := pick(fds, m.files)
		data := content(m.start, m.end)
		for {
			n, err := raw.Send(sock, [][]byte{data}, pass, unix.MSG_NOSIGNAL)
			if err == unix.ETOOMANYREFS || err == unix.EINTR {
				time.Sleep(time.Millisecond)
				continue
			}
			if err != nil {
				return fmt.Errorf("send: %w", err)
			}
			if data, pass = data[n:], nil; len(data) == 0 {
				break
			}
		}
	}
	return unix.Shutdown(sock, unix.SHUT_WR)
}

// receiveStream receives until the end of a stream. Descriptors must arrive with the first byte of their message, or
// with earlier bytes that were received with one call. This call must not return bytes that follow their message.
func receiveStream(rnd *rand.Rand, sock int, list []sent) error {
	position, next, message := 0, 0, 0
	withFiles := slices.DeleteFunc(slices.Clone(list), func(m sent) bool { return m.files == nil })
	buf := make([]byte, 1<<17)
	for {
		size := 1
		for message < len(list)-1 && list[message].end <= position {
			message++
		}
		if rnd.IntN(3) == 0 || list[message].end-position > 1000 {
			size = rnd.IntN(len(buf)) + 1
		}
		got, sizes, err := receiveOnce(sock, buf[:size])
		if err != nil {
			return err
		}
		end := position + len(got)
		if len(got) == 0 {
			break
		}
		if !bytes.Equal(got, content(position, end)) {
			return fmt.Errorf("bytes %d to %d are different", position, end)
		}
		if next < len(withFiles) && withFiles[next].start < end {
			m := withFiles[next]
			next++
			if !slices.Equal(sizes, m.files) {
				return fmt.Errorf("bytes %d to %d, message %d to %d: got files %v, want %v", position, end, m.start, m.end, sizes, m.files)
			}
			if end > m.end || noMemory() != nil && m.end-m.start < 32<<10 && len(got) < size && end != m.end {
				return fmt.Errorf("message %d to %d was received with bytes %d to %d", m.start, m.end, position, end)
			}
		} else if len(sizes) > 0 {
			return fmt.Errorf("bytes %d to %d: got files %v, want none", position, end, sizes)
		}
		position = end
	}
	if position != list[len(list)-1].end || next != len(withFiles) {
		return fmt.Errorf("received %d of %d bytes and %d of %d messages with files", position, list[len(list)-1].end, next, len(withFiles))
	}
	return nil
}

// receiveRecords receives messages until the last, and then the end.
func receiveRecords(sock int, list []sent) error {
	buf := make([]byte, 1<<17)
	for i, m := range append(list, sent{}) {
		got, sizes, err := receiveOnce(sock, buf)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(got, content(m.start, m.end)) || !slices.Equal(sizes, m.files):
			return fmt.Errorf("message %d: got %d bytes and files %v, want %d bytes and files %v", i, len(got), sizes, m.end-m.start, m.files)
		}
	}
	return nil
}

// receiveOnce receives one message, and returns its bytes and the sizes of its files.
func receiveOnce(sock int, buf []byte) (got []byte, sizes []int, err error) {
	n, fds, flags, err := raw.Recv(sock, [][]byte{buf}, MaxFDs, 0)
	for err == unix.EINTR {
		n, fds, flags, err = raw.Recv(sock, [][]byte{buf}, MaxFDs, 0)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("receive: %w", err)
	}
	defer CloseAll(fds)
	if flags&^unix.MSG_EOR != 0 {
		return nil, nil, fmt.Errorf("flags %#x", flags)
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, nil, err
		}
		sizes = append(sizes, int(st.Size))
	}
	return buf[:n], sizes, nil
}

// Each descriptor arrives at the same byte as without a relay, in both directions, and so does each half-close. No
// descriptor is left open.
func TestRelayChangesNothing(t *testing.T) { relayMessages(t, 8, 150) }

func relayMessages(t *testing.T, connections, messages int) {
	t.Helper()
	const seed = 1
	_, err := files()
	must(t, err)
	fdleak.Check(t)
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			address, server := start(t, &Relay{Type: typ, Failed: func(err error) { t.Error(err) }})
			var wg sync.WaitGroup
			for i := range connections {
				client := dial(t, address, typ)
				peer := accept(t, server)
				for direction, socks := range [][2]int{{client, peer}, {peer, client}} {
					rnd := rand.New(rand.NewPCG(seed, uint64(2*i+direction)))
					list := randomMessages(rnd, messages, typ)
					wg.Add(2)
					go func() {
						defer wg.Done()
						if err := sendAll(rnd, socks[0], list); err != nil {
							t.Errorf("connection %d, direction %d: %v", i, direction, err)
						}
					}()
					go func() {
						defer wg.Done()
						var err error
						if typ == unix.SOCK_STREAM {
							err = receiveStream(rand.New(rand.NewPCG(seed, uint64(i))), socks[1], list)
						} else {
							err = receiveRecords(socks[1], list)
						}
						if err != nil {
							t.Errorf("connection %d, direction %d: %v", i, direction, err)
							_ = unix.Shutdown(socks[1], unix.SHUT_RDWR)
						}
					}()
				}
				t.Cleanup(func() { CloseAll([]int{client, peer}) })
			}
			wg.Wait()
		})
	}
}

// On a kernel that receives a part of a message, each descriptor arrives at the same byte too, but the rest of its
// message later. The relay then makes a system call for each byte, so there are fewer messages.
func TestRelayByteAtATime(t *testing.T) {
	defer func(f func() []byte) { noMemory = f }(noMemory)
	noMemory = func() []byte { return nil }
	relayMessages(t, 2, 50)
}

// A countingConn counts the calls that receive.
type countingConn struct {
	syscall.RawConn
	calls int
}

func (c *countingConn) Read(f func(fd uintptr) bool) error {
	c.calls++
	return c.RawConn.Read(f)
}

// How often a pump receives does not depend on how many bytes are queued before descriptors.
func TestPumpFindsDescriptors(t *testing.T) {
	fds, err := files()
	must(t, err)
	ends := [2][2]*os.File{}
	for i := range ends {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		for j, fd := range pair {
			ends[i][j] = os.NewFile(uintptr(fd), "socket")
			defer ends[i][j].Close()
		}
	}
	client, server := int(ends[0][0].Fd()), int(ends[1][1].Fd())
	must(t, control(ends[0][1], passCred))
	p, err := newPump(ends[0][1], ends[1][0], unix.SOCK_STREAM)
	must(t, err)
	counted := &countingConn{RawConn: p.from}
	p.from = counted
	list := []sent{{start: 0, end: 30_000}, {start: 30_000, end: 30_010}, {start: 30_010, end: 30_020, files: []int{3}}}
	for _, m := range list {
		_, err := raw.Send(client, [][]byte{content(m.start, m.end)}, pick(fds, m.files), 0)
		must(t, err)
	}
	must(t, unix.Shutdown(client, unix.SHUT_WR))
	if err := p.messages(); err != io.EOF || counted.calls > 10 {
		t.Errorf("the pump has received %d times (%v)", counted.calls, err)
	}
	must(t, unix.Shutdown(int(ends[1][0].Fd()), unix.SHUT_WR))
	must(t, receiveStream(rand.New(rand.NewPCG(1, 1)), server, list))
}

func TestMain(m *testing.M) {
	reexec.Register("relay", relayWithFewDescriptors)
	reexec.Register("relay as user", relayAsUser)
	reexec.Main()
	os.Exit(m.Run())
}

// When one side closes the connection, the other side notices at once.
func TestRelayClosesBothSides(t *testing.T) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			for _, serverCloses := range []bool{false, true} {
				client, server := connected(t, &Relay{Type: typ})
				closing, other := client, server
				if serverCloses {
					closing, other = server, client
				}
				send(t, closing, "last")
				must(t, unix.Shutdown(closing, unix.SHUT_WR)) // the other side can still send
				expect(t, other, "last")
				send(t, other, "answer")
				expect(t, closing, "answer")
				must(t, unix.Shutdown(closing, unix.SHUT_RD))
				awaitHangUp(t, other)
				if _, err := raw.Send(other, [][]byte{[]byte("x")}, nil, unix.MSG_NOSIGNAL); err != unix.EPIPE {
					t.Errorf("send: %v, want EPIPE", err)
				}
			}
		})
	}
}

// If a side no longer receives, the other side can no longer send.
func TestRelayPassesOnThatAReaderIsGone(t *testing.T) {
	client, server := connected(t, &Relay{Type: unix.SOCK_STREAM})
	must(t, unix.Shutdown(server, unix.SHUT_RD))
	for {
		_, err := raw.Send(client, [][]byte{[]byte("x")}, nil, unix.MSG_NOSIGNAL)
		if err == unix.EPIPE {
			break
		}
		must(t, err)
	}
	send(t, server, "still")
	expect(t, client, "still")
	must(t, unix.Shutdown(client, unix.SHUT_WR))
	must(t, unix.Shutdown(client, unix.SHUT_RD))
	awaitHangUp(t, server)
}

// A relay does not receive more than it can pass on.
func TestRelayWaitsForTheReceiver(t *testing.T) {
	client, server := connected(t, &Relay{Type: unix.SOCK_STREAM})
	const most = 8 << 20
	sent := 0
	for waits := 0; waits < 20 && sent < most; {
		n, err := raw.Send(client, [][]byte{make([]byte, 64<<10)}, nil, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			waits++
			time.Sleep(time.Millisecond)
			continue
		}
		must(t, err)
		sent += n
	}
	if sent >= most {
		t.Errorf("%d bytes were sent but not received", sent)
	}
	must(t, unix.Shutdown(client, unix.SHUT_WR))
	for buf := make([]byte, 1<<20); ; {
		n, err := unix.Read(server, buf)
		must(t, err)
		if n == 0 {
			break
		}
		sent -= n
	}
	if sent != 0 {
		t.Errorf("%d bytes were not received", sent)
	}
}

// A message that is larger than the relay's send buffer arrives as one message.
func TestRelayPassesOnLargeMessages(t *testing.T) {
	client, server := connected(t, &Relay{Type: unix.SOCK_SEQPACKET, Failed: func(err error) { t.Error(err) }})
	const size = 400_000
	must(t, unix.SetsockoptInt(client, unix.SOL_SOCKET, unix.SO_SNDBUF, size))
	if now, _ := unix.GetsockoptInt(client, unix.SOL_SOCKET, unix.SO_SNDBUF); now < size+32 {
		t.Skipf("the send buffer is limited to %d bytes", now)
	}
	data := content(0, size)
	send(t, client, string(data))
	expect(t, server, string(data))
}

// The server sees the user and the groups of the client, and the process ID if the relay may send it.
func TestRelayKeepsTheCredentials(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: starts a client as another user")
	}
	const uid, gid = 65533, 65532
	groups := []uint32{65530, 65531}
	address, l := start(t, &Relay{Type: unix.SOCK_STREAM, Failed: func(err error) { t.Error(err) }})
	must(t, os.Chmod(address, 0o777))
	for dir := filepath.Dir(address); dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(client)
	ownthread.Run(func() {
		if err = raw.SetThreadIDs(uid, gid, groups); err == nil {
			err = unix.Connect(client, &unix.SockaddrUnix{Name: address})
		}
		if err == nil {
			_, err = unix.Write(client, []byte("x"))
		}
	})
	must(t, err)
	server := accept(t, l)
	defer unix.Close(server)
	must(t, unix.SetsockoptInt(server, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	want := unix.Ucred{Pid: int32(os.Getpid()), Uid: uid, Gid: gid}
	if got, err := unix.GetsockoptUcred(server, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil || *got != want {
		t.Errorf("SO_PEERCRED: %v (%v), want %v", got, err, want)
	}
	if got, err := raw.PeerGroups(server); err != nil || !slices.Equal(got, groups) {
		t.Errorf("SO_PEERGROUPS: %v (%v), want %v", got, err, groups)
	}
	control := make([]byte, 256)
	m := raw.NewMessage([][]byte{make([]byte, 10)}, control)
	if _, err := m.Recv(server, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := parse(control[:m.ControlLen]); got == nil || *got != want {
		t.Errorf("SCM_CREDENTIALS: %v, want %v", got, want)
	}
	if os.Geteuid() != 0 {
		t.Error("the user of this process has changed")
	}
}

// ToServer sees the messages of clients only, and what it adds arrives.
func TestRelayChangesMessagesToTheServer(t *testing.T) {
	fds, err := files()
	must(t, err)
	client, server := connected(t, &Relay{Type: unix.SOCK_STREAM, ToServer: func(m *Message) {
		if m.Client != 1 || string(m.Data) != "request" {
			t.Errorf("got %q from client %d, want request from 1", m.Data, m.Client)
		}
		m.FDs = append(m.FDs, fds[7])
	}})
	if _, err := raw.Send(client, [][]byte{[]byte("request")}, fds[3:5], 0); err != nil {
		t.Fatal(err)
	}
	got, sizes, err := receiveOnce(server, make([]byte, 100))
	if err != nil || string(got) != "request" || !slices.Equal(sizes, []int{3, 4, 7}) {
		t.Errorf("got %q, files %v (%v); want request, and files 3, 4 and 7", got, sizes, err)
	}
	send(t, server, "answer")
	expect(t, client, "answer")
}

// A client that closes its socket without receiving an answer has still sent its packets.
func TestRelayPassesOnPacketsBeforeAReset(t *testing.T) {
	for range 20 {
		address, l := start(t, &Relay{Type: unix.SOCK_SEQPACKET})
		client := dial(t, address, unix.SOCK_SEQPACKET)
		server := accept(t, l)
		t.Cleanup(func() { unix.Close(server) })
		send(t, server, "an answer")
		for awaited := time.Now().Add(time.Minute); time.Now().Before(awaited); {
			if n, err := unix.IoctlGetUint32(client, unix.TIOCINQ); err != nil || n > 0 {
				break
			}
		}
		for range 5 {
			send(t, client, "x")
		}
		unix.Close(client)
		for range 5 {
			expect(t, server, "x")
		}
	}
}

// A client that has ended is not cut off, although the relay should end before it has accepted it, and cannot connect
// yet.
func TestRelayDrains(t *testing.T) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			r := &Relay{Type: typ, Drain: time.Hour}
			l, server := listen(t, r, 0)
			must(t, unix.SetsockoptTimeval(server, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}))
			unix.Close(dial(t, r.Connect, typ)) // fills the backlog
			client := dial(t, l.Addr().String(), typ)
			send(t, client, "last")
			unix.Close(client)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			must(t, l.SetDeadline(time.Unix(1, 0))) // Serve does so later or sooner
			done := make(chan error, 1)
			go func() { done <- r.Serve(ctx, l) }()
			unix.Close(accept(t, server))
			conn := accept(t, server)
			defer unix.Close(conn)
			expect(t, conn, "last")
			expect(t, conn, "")
			must(t, <-done)
		})
	}
}

// relayAsUser passes a message on, in a user namespace whose processes may not set their groups.
func relayAsUser(args []string) {
	r := Relay{Type: unix.SOCK_STREAM, Connect: args[1], Drain: time.Hour, Failed: func(err error) { fmt.Println(err) }}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: args[0]})
	if err == nil {
		var c net.Conn
		if c, err = net.Dial("unix", args[0]); err == nil {
			fmt.Fprint(c, "message")
			c.Close()
		}
	}
	if err == nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err = r.Serve(ctx, l)
	}
	fmt.Println(os.Geteuid(), err)
}

// Root in a namespace of unshare -r cannot set the groups of the client, and need not, because they are its own.
func TestRelayInAUserNamespace(t *testing.T) {
	r := Relay{Type: unix.SOCK_STREAM}
	l, server := listen(t, &r, 5)
	must(t, unix.SetsockoptTimeval(server, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}))
	cmd := reexec.Command("relay as user", l.Addr().String()+"2", r.Connect)
	attr, err := reexec.InUserNamespace()
	if err != nil {
		t.Skip(err)
	}
	cmd.SysProcAttr = attr
	out, err := cmd.Output()
	if string(out) != "0 <nil>\n" {
		t.Fatalf("the relay in a user namespace printed %q (%v), want 0 <nil>", out, err)
	}
	conn := accept(t, server)
	defer unix.Close(conn)
	expect(t, conn, "message")
}

// relayWithFewDescriptors is a relay that can receive only a few descriptors.
func relayWithFewDescriptors(args []string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: args[0]})
	if err == nil {
		limit := uint64(len(fdtest.Open()) + 20)
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit})
	}
	if err == nil {
		r := Relay{Type: unix.SOCK_STREAM, Connect: args[1], Failed: func(err error) { fmt.Println(err) }}
		err = r.Serve(context.Background(), l)
	}
	fmt.Println(err)
}

// If the descriptor table is full, the server does not get a message without all its descriptors. The relay serves
// others.
func TestRelayWithAFullDescriptorTable(t *testing.T) {
	fds, err := files()
	must(t, err)
	dir := t.TempDir()
	l, err := Listen(unix.SOCK_STREAM, dir+"/server")
	must(t, err)
	defer unix.Close(l)
	cmd := reexec.Command("relay", dir+"/relay", dir+"/server")
	output, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for client := -1; client < 0; time.Sleep(time.Millisecond) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		if unix.Connect(fd, &unix.SockaddrUnix{Name: dir + "/relay"}) == nil {
			client = accept(t, l)
		}
		unix.Close(fd)
		unix.Close(client)
	}
	lines := bufio.NewReader(output)
	for round := range 10 {
		client := dial(t, dir+"/relay", unix.SOCK_STREAM)
		server := accept(t, l)
		if _, err := raw.Send(client, [][]byte{[]byte("first")}, fds[:5], 0); err != nil {
			t.Fatalf("round %d, first message: %v", round, err)
		}
		if got, sizes, err := receiveOnce(server, make([]byte, 100)); err != nil || string(got) != "first" || len(sizes) != 5 {
			t.Errorf("round %d: got %q, files %v (%v); want %q and 5 files", round, got, sizes, err, "first")
		}
		send(t, client, "before")
		if _, err := raw.Send(client, [][]byte{[]byte("second")}, slices.Concat(fds, fds), 0); err != nil {
			t.Fatalf("round %d, second message: %v", round, err)
		}
		expect(t, server, "before")
		expect(t, server, "")
		if line, err := lines.ReadString('\n'); !strings.Contains(line, "descriptor table is full") {
			t.Errorf("the relay printed %q (%v)", line, err)
		}
		CloseAll([]int{client, server})
	}
}

func send(t *testing.T, sock int, text string) {
	t.Helper()
	if _, err := raw.Send(sock, [][]byte{[]byte(text)}, nil, unix.MSG_NOSIGNAL); err != nil {
		t.Fatal(err)
	}
}

// expect receives one message.
func expect(t *testing.T, sock int, text string) {
	t.Helper()
	got, sizes, err := receiveOnce(sock, make([]byte, 1<<20))
	if err != nil || string(got) != text || len(sizes) > 0 {
		t.Fatalf("got %.20q (%d bytes), files %v (%v), want %.20q", got, len(got), sizes, err, text)
	}
}

// awaitHangUp waits until the other side has closed the connection in both directions.
func awaitHangUp(t *testing.T, sock int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(sock)}}, 60_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("the other side has not closed the connection (%v)", err)
		}
		return
	}
}
