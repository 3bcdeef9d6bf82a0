//go:build unix

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// pairOfSockets returns two connected sockets, as two processes would have them.
func pairOfSockets() (a, b int) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	return p[0], p[1]
}

// A program can check which backend it was built with. Builds with the tag scm_purego use the pure backend.
func ExampleBackend() {
	switch scm.Backend {
	case "cgo", "purego":
		fmt.Println("built with a backend")
	}
	// Output: built with a backend
}

func ExampleWriteFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	// One process sends the write end of a pipe.
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	_, err = scm.WriteFD(a, []byte("a pipe"), int(w.Fd()))
	must(err)
	w.Close() // the descriptor in flight stays open

	// The other process receives its own descriptor for it.
	p := make([]byte, 64)
	n, fd, err := scm.ReadFD(b, p)
	must(err)
	fmt.Printf("received %q\n", p[:n])
	received, err := scm.NewFile(fd, "pipe") // takes ownership of fd
	must(err)
	fmt.Fprint(received, "hello through the pipe")
	received.Close()

	text, _ := io.ReadAll(r)
	fmt.Println(string(text))
	// Output:
	// received "a pipe"
	// hello through the pipe
}

func ExampleReadFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	// If two are sent, ReadFD closes both and returns an error.
	two := scm.Message{Buffers: [][]byte{[]byte("two")}, FDs: []int{a, b}}
	must(scm.Send(a, &two, 0))
	n, fd, err := scm.ReadFD(b, make([]byte, 64))
	fmt.Println(n, fd, err)

	// Bytes can arrive without a descriptor.
	must(scm.Send(a, &scm.Message{Buffers: [][]byte{[]byte("none")}}, 0))
	fmt.Println(scm.ReadFD(b, make([]byte, 64)))
	// Output:
	// 3 -1 scm: message did not carry exactly one descriptor, or its control data was truncated
	// 4 -1 <nil>
}

// A message can have several buffers and several descriptors.
func ExampleSend() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	out := scm.Message{
		Buffers: [][]byte{[]byte("header "), []byte("body")},
		FDs:     []int{0, 1, 2},
	}
	must(scm.Send(a, &out, 0))
	fmt.Println("sent", out.N, "bytes")

	in := scm.Message{
		Buffers: [][]byte{make([]byte, 7), make([]byte, 64)},
		FDs:     make([]int, 2), // at most two of the three
	}
	must(scm.Recv(b, &in, 0))
	defer in.Close()
	fmt.Printf("received %q and %q\n", in.Buffers[0], in.Buffers[1][:in.N-7])
	fmt.Println(in.NFD, "descriptors; some are missing:", in.Truncated())
	// Output:
	// sent 11 bytes
	// received "header " and "body"
	// 2 descriptors; some are missing: true
}

// A received descriptor refers to the sender's open file description, so the two sides share the file offset.
func ExampleReadFD_sharedOffset() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	file, err := os.CreateTemp("", "scm")
	must(err)
	defer os.Remove(file.Name())
	defer file.Close()
	fmt.Fprint(file, "The sender reads these 32 bytes, and the receiver reads the rest.")
	_, err = file.Seek(0, io.SeekStart)
	must(err)

	// The sender reads 32 bytes and passes the file.
	head := make([]byte, 32)
	_, err = io.ReadFull(file, head)
	must(err)
	fmt.Printf("sender:   %q\n", head)
	_, err = scm.WriteFD(a, []byte{0}, int(file.Fd()))
	must(err)

	// The receiver reads on from byte 32.
	_, fd, err := scm.ReadFD(b, make([]byte, 1))
	must(err)
	received, err := scm.NewFile(fd, "received")
	must(err)
	defer received.Close()
	rest, err := io.ReadAll(received)
	must(err)
	fmt.Printf("receiver: %q\n", rest)

	// Nothing is left for the sender.
	offset, err := file.Seek(0, io.SeekCurrent)
	must(err)
	fmt.Println("sender's offset:", offset)
	// Output:
	// sender:   "The sender reads these 32 bytes,"
	// receiver: " and the receiver reads the rest."
	// sender's offset: 65
}

// A program whose own API uses raw descriptors receives them along with the bytes of a stream. Its Read
// method keeps the descriptors for another method to return.
func ExampleConn_ReadFDs() {
	a, b, err := scm.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()
	_, err = a.WriteFDs([]byte("two files"), 0, 1)
	must(err)
	must(a.CloseWrite())

	conn := &connWithFDs{Conn: b}
	defer conn.Close()
	payload, err := io.ReadAll(conn)
	must(err)
	fmt.Printf("received %q and %d descriptors\n", payload, len(conn.fds))
	// Output: received "two files" and 2 descriptors
}

// connWithFDs is a net.Conn that keeps the descriptors it receives.
type connWithFDs struct {
	*scm.Conn
	fds []int
}

func (c *connWithFDs) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	fds := make([]int, 16)
	n, nfd, err := c.ReadFDs(p, fds)
	c.fds = append(c.fds, fds[:nfd]...)
	return n, err
}

func (c *connWithFDs) Close() error {
	scm.CloseFDs(c.fds...)
	return c.Conn.Close()
}

// If no descriptor is missing, Files turns the descriptors of a message into files.
func ExampleMessage_Files() {
	a, b, err := scm.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()

	for _, files := range [][]*os.File{{os.Stdin, os.Stdout}, {os.Stdin, os.Stdout, os.Stderr}} {
		_, err = a.WriteFiles([]byte("files"), files...)
		must(err)
		m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 2)}
		must(b.Recv(&m, 0))
		if m.Truncated() {
			m.Close()
			fmt.Println("more than 2 files")
			continue
		}
		received, err := m.Files()
		must(err)
		fmt.Println(len(received), "files")
		for _, f := range received {
			f.Close()
		}
	}
	// Output:
	// 2 files
	// more than 2 files
}

// The limits are the kernel's. Each call checks them before it makes a system call.
func ExampleMessage_limits() {
	m := scm.Message{FDs: make([]int, scm.MaxFDs+1)}
	err := scm.Send(-1, &m, 0)
	fmt.Println(err)
	fmt.Println(err == scm.ErrTooManyFDs)

	m = scm.Message{Buffers: make([][]byte, scm.MaxBuffers+1)}
	err = scm.Send(-1, &m, 0)
	fmt.Println(err == scm.ErrTooManyBuffers, errors.Is(err, unix.EMSGSIZE))
	// Output:
	// scm: more than 253 descriptors in a message
	// true
	// true true
}

// must panics if err is not nil.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// twoConns returns two connected Conns, as two processes would have them.
func twoConns() (a, b *scm.Conn) {
	a, b, err := scm.Pair("unix")
	must(err)
	return a, b
}

func ExamplePair() {
	a, b, err := scm.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()

	// One side sends the write end of a pipe with some bytes.
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	_, err = a.WriteFiles([]byte("a pipe"), w)
	must(err)
	w.Close() // the receiver's copy stays open

	// The other side receives its own file for it.
	p := make([]byte, 64)
	n, files, err := b.ReadFiles(p, 1)
	must(err)
	fmt.Printf("received %q and %d file\n", p[:n], len(files))
	fmt.Fprint(files[0], "hello through the pipe")
	files[0].Close()

	text, _ := io.ReadAll(r)
	fmt.Println(string(text))
	// Output:
	// received "a pipe" and 1 file
	// hello through the pipe
}

// On a stream, files can only be sent along with at least one byte.
func ExampleConn_WriteFiles() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	n, err := a.WriteFiles(nil, os.Stdin)
	fmt.Println(n, errors.Is(err, scm.ErrEmptyPayload))
	n, err = a.WriteFiles([]byte{0}, os.Stdin)
	fmt.Println(n, err)
	// Output:
	// 0 true
	// 1 <nil>
}

// A context ends this receive, and no other call on the connection.
func ExampleConn_WithContext() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, _, err := b.WithContext(ctx).ReadFiles(make([]byte, 64), 1) // no message arrives
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// With KeepTruncated, a conversation can continue after a message has lost files.
func ExampleTruncatedError() {
	a, b, err := scm.Config{KeepTruncated: true}.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()

	_, err = a.WriteFiles([]byte("three files"), os.Stdin, os.Stdout, os.Stderr)
	must(err)
	p := make([]byte, 64)
	n, files, err := b.ReadFiles(p, 2) // at most two
	var truncated *scm.TruncatedError
	if errors.As(err, &truncated) {
		fmt.Printf("received %q and %d files: %v\n", p[:n], len(files), truncated.Cause)
	}
	for _, f := range files {
		f.Close()
	}
	// Output: received "three files" and 2 files: message too long
}

// SendFile and RecvFile pass a file with its name, as runc does.
func ExampleConn_SendFile() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	null, err := os.Open(os.DevNull)
	must(err)
	defer null.Close()
	must(a.SendFile(null.Name(), null))
	f, err := b.RecvFile()
	must(err)
	fmt.Println(f.Name())
	f.Close()

	a.Write([]byte("a name without a file"))
	_, err = b.RecvFile()
	fmt.Println(errors.Is(err, scm.ErrNoFile))
	// Output:
	// /dev/null
	// true
}

// One process accepts a connection, and another process serves it.
func ExampleConn_SendConn() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(err)
	defer client.Close()
	accepted, err := l.Accept()
	must(err)
	must(a.SendConn(accepted))
	accepted.Close()

	conn, err := b.RecvConn()
	must(err)
	tcp := conn.(*net.TCPConn)
	fmt.Fprint(tcp, "hello from the other process")
	tcp.Close()
	text, _ := io.ReadAll(client)
	fmt.Println(string(text))
	// Output: hello from the other process
}

// A new process takes over from an old one. The socket never stops listening, and the socket file remains in
// place.
func ExampleConn_SendListener() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")

	before, after := twoConns() // two processes
	defer before.Close()
	defer after.Close()

	old, err := scm.Listen(ctx, "unix", path)
	must(err)
	client, err := scm.Dial(ctx, "unix", path) // waits in the queue
	must(err)
	defer client.Close()
	must(before.SendListener(old))
	must(old.Close())

	l, err := after.RecvListener()
	must(err)
	defer l.Close()
	conn, err := l.Accept()
	must(err)
	fmt.Fprint(conn, "hello from the new process")
	conn.Close()
	text, _ := io.ReadAll(client)
	fmt.Println(string(text))
	// Output: hello from the new process
}

// Listen replaces a socket file that a crash left behind, but not one that is in use. A server that is
// shutting down sets a deadline to end Accept.
func ExampleListen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")

	var crashed *scm.Listener
	crashed, err = scm.Listen(ctx, "unix", path)
	must(err)
	crashed.SetUnlinkOnClose(false)
	crashed.Close()

	l, err := scm.Listen(ctx, "unix", path)
	must(err)
	_, err = scm.Listen(ctx, "unix", path)
	fmt.Println(errors.Is(err, scm.ErrInUse))

	must(l.SetDeadline(time.Now()))
	_, err = l.Accept()
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	must(l.Close()) // which removes the file
	// Output:
	// true
	// true
}

// Read receives only bytes: the kernel drops files that were sent with them.
func ExampleConn() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	_, err := a.WriteFiles([]byte("text"), os.Stdin)
	must(err)
	must(a.CloseWrite()) // a Conn has every method of a net.UnixConn

	text, err := io.ReadAll(b)
	must(err)
	fmt.Printf("%q\n", text)
	// Output: "text"
}

// If a partner stops reading, a deadline ends the call, which returns the number of bytes sent. The files
// were sent with the first byte, and must not be sent again.
func ExampleConn_WriteFiles_partial() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	go func() {
		_, err := io.ReadFull(b, make([]byte, 1))
		must(err)
		must(a.SetWriteDeadline(time.Now()))
	}()
	p := make([]byte, 10<<20)
	n, err := a.WriteFiles(p, os.Stdin)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), 0 < n && n < len(p))

	must(a.SetDeadline(time.Time{})) // continue with p[n:], without the file
	// Output: true true
}

// A datagram client sends a request with a file, and receives an answer with a file.
func ExampleDialPacket() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)

	server, err := scm.ListenPacket(ctx, "unixgram", filepath.Join(dir, "server"))
	must(err)
	defer server.Close()
	client, err := scm.DialPacket(ctx, "unixgram", filepath.Join(dir, "client"), filepath.Join(dir, "server"))
	must(err)
	defer client.Close()
	_, err = client.WriteFiles([]byte("request"), os.Stdin)
	must(err)

	in := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
	must(server.Recv(&in, 0))
	fmt.Printf("%q and %d descriptor from %s\n", in.Buffers[0][:in.N], in.NFD, filepath.Base(in.Addr.Name))
	// The sender chose the path. It is only safe to reply to a path in our own directory.
	base, ours := strings.CutPrefix(in.Addr.Name, dir+"/")
	if !ours || strings.Contains(base, "/") {
		panic("not a client of ours")
	}
	must(server.Send(&scm.Message{Buffers: [][]byte{[]byte("answer")}, FDs: in.FDs, Addr: in.Addr}, 0))
	in.Close()

	p := make([]byte, 64)
	n, files, err := client.ReadFiles(p, 1)
	must(err)
	fmt.Printf("%q and %d file\n", p[:n], len(files))
	must(files[0].Close())
	// Output:
	// "request" and 1 descriptor from client
	// "answer" and 1 file
}

// A connection created by package net can pass files too.
func ExampleNewConn() {
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(err)
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	must(err)
	defer c.Close()

	conn, err := scm.NewConn(c)
	must(err)
	fmt.Println(conn.WriteFiles([]byte{0}, os.Stdin))
	// Output: 1 <nil>
}

// A struct that embeds a Conn can still pass files if a function receives it only as a net.Conn.
func ExampleConn_NetConn() {
	type session struct {
		*scm.Conn
		user string
	}
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	var c net.Conn = session{a, "alice"}

	conn, err := scm.NewConn(c)
	must(err)
	fmt.Println(conn.NetConn() == a.NetConn())
	fmt.Println(conn.WriteFiles([]byte{0}, os.Stdin))
	// Output:
	// true
	// 1 <nil>
}

// NewConnFD can take an inherited descriptor. If the descriptor is not a Unix socket, it stays open and
// still belongs to the caller.
func ExampleNewConnFD() {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	defer unix.Close(p[1])
	c, err := scm.NewConnFD(p[0])
	must(err) // NewConnFD has closed p[0]
	defer c.Close()
	fmt.Println(scm.Nonblock(c))

	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	defer w.Close()
	_, err = scm.NewConnFD(int(r.Fd()))
	fmt.Println(errors.Is(err, scm.ErrNotUnix))
	// Output:
	// true <nil>
	// true
}

// Files that a Go program sends are often non-blocking. Clear O_NONBLOCK before you send such a file to a
// program that expects calls to block. This changes the flag for the sender of the file too.
func ExampleSetNonblock() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	defer w.Close()
	_, err = a.WriteFiles([]byte{0}, r)
	must(err)

	_, files, err := b.ReadFiles(make([]byte, 1), 1)
	must(err)
	defer files[0].Close()
	fmt.Println(scm.Nonblock(files[0]))
	must(scm.SetNonblock(files[0], false))
	fmt.Println(scm.Nonblock(r))
	// Output:
	// true <nil>
	// false <nil>
}

// A server that receives its listener from its predecessor accepts with its own Config. This also works for
// a listener that systemd passes: net.FileListener creates a listener from descriptor 3.
func ExampleNewListener() {
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	before, after := twoConns() // two processes
	defer before.Close()
	defer after.Close()
	old, err := net.Listen("unix", path)
	must(err)
	must(before.SendListener(old))
	must(old.Close())

	received, err := after.RecvListener()
	must(err)
	config := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1, Kind: scm.KindRegular}}
	l, err := config.NewListener(received)
	must(err)
	defer l.Close()

	client, err := scm.Dial(context.Background(), "unix", path)
	must(err)
	defer client.Close()
	_, err = client.WriteFiles([]byte("no file"))
	must(err)
	conn, err := l.AcceptConn()
	must(err)
	defer conn.Close()
	_, _, err = conn.ReadFiles(make([]byte, 64), 1)
	var unexpected *scm.ExpectError
	fmt.Println(errors.As(err, &unexpected))
	// Output: true
}

func ExampleConn_WriteBuffers() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	_, err := a.WriteBuffers([][]byte{[]byte("head"), []byte("body")}, os.Stdin)
	must(err)
	head, body := make([]byte, 4), make([]byte, 100)
	n, files, err := b.ReadBuffers([][]byte{head, body}, 1)
	must(err)
	fmt.Printf("%s %s %d\n", head, body[:n-len(head)], len(files))
	files[0].Close()
	// Output: head body 1
}

func ExampleConn_WriteFDs() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	_, err := a.WriteFDs([]byte("files"), 0, 1, 2)
	must(err)
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 8)}
	must(b.Recv(&m, 0))
	fmt.Println(m.N, m.NFD)
	m.Close()
	// Output: 5 3
}

func ExampleNewConnFile() {
	a, b := twoConns()
	defer a.Close()
	f, err := b.File() // for example inherited from a service manager
	must(err)
	b.Close()
	defer f.Close()

	_, err = scm.NewConnFile(os.Stdin)
	fmt.Println(errors.Is(err, unix.ENOTSOCK))
	c, err := scm.Config{NoFiles: true}.NewConnFile(f)
	if errors.Is(err, errors.ErrUnsupported) { // before Linux 6.16, and on other systems
		c, err = scm.NewConnFile(f)
	}
	must(err)
	defer c.Close()
	_, err = c.WriteFiles([]byte("x"), f)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}
