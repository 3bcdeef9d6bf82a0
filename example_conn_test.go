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

// must ends an example that went wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// twoConns are two Conns, as two processes would have them.
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

	// One side has the writing end of a pipe, and passes it with some bytes.
	r, w, err := os.Pipe()
	must(err)
	defer r.Close()
	_, err = a.WriteFiles([]byte("a pipe"), w)
	must(err)
	w.Close() // what was passed stays open

	// The other side gets a file of its own.
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

// On a stream files need a byte to go with.
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

// A context ends a call by way of a deadline.
func ExampleConn_ReadFiles() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { b.SetReadDeadline(time.Now()) })
	defer stop()

	_, _, err := b.ReadFiles(make([]byte, 64), 1) // nobody sends anything
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), ctx.Err())
	// Output: true context deadline exceeded
}

// Files that did not come need not end a conversation.
func ExampleTruncatedError() {
	a, b, err := scm.Config{KeepTruncated: true}.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()

	_, err = a.WriteFiles([]byte("three files"), os.Stdin, os.Stdout, os.Stderr)
	must(err)
	p := make([]byte, 64)
	n, files, err := b.ReadFiles(p, 2) // room for two
	var truncated *scm.TruncatedError
	if errors.As(err, &truncated) {
		fmt.Printf("received %q and %d files: %v\n", p[:n], len(files), truncated.Cause)
	}
	for _, f := range files {
		f.Close()
	}
	// Output: received "three files" and 2 files: message too long
}

// A file and its name, as runc sends them.
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

// A connection goes to another process, and goes on there.
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
	must(a.SendConn(accepted.(*net.TCPConn)))
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

// A new process takes over from an old one. No client sees a moment in which
// nobody listens, and the socket file stays where it is.
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

// A socket file that a crash left behind is replaced, and one in use is not. A
// server that is to end waits no longer for the next client.
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

// Only the group may connect, from the first moment on; and only those who know
// the word are accepted.
func ExampleConfig_Listen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")

	config := scm.Config{
		Mode: 0o660,
		Check: func(c *scm.Conn) error {
			p := make([]byte, 6)
			if _, err := io.ReadFull(c, p); err != nil || string(p) != "please" {
				return errors.New("not polite")
			}
			return nil
		},
	}
	l, err := config.Listen(ctx, "unix", path)
	must(err)
	defer l.Close()
	info, err := os.Stat(path)
	must(err)
	fmt.Println(info.Mode().Perm())

	for _, word := range []string{"let me", "please"} {
		c, err := scm.Dial(ctx, "unix", path)
		must(err)
		defer c.Close()
		fmt.Fprint(c, word)
	}
	c, err := l.AcceptConn()
	must(err)
	defer c.Close()
	fmt.Println("accepted at", filepath.Base(c.LocalAddr().String()))
	// Output:
	// -rw-rw----
	// accepted at socket
}

// Read takes bytes alone: the kernel drops files that are sent with them.
func ExampleConn() {
	a, b := twoConns()
	defer a.Close()
	defer b.Close()
	_, err := a.WriteFiles([]byte("text"), os.Stdin)
	must(err)
	must(a.CloseWrite()) // package net's, as all that a net.UnixConn has

	text, err := io.ReadAll(b)
	must(err)
	fmt.Printf("%q\n", text)
	// Output: "text"
}

// A partner that does not read ends nothing but the call, which says how much
// went. What the first part of it carried must not be sent again.
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

	must(a.SetDeadline(time.Time{})) // and on with p[n:], without the file
	// Output: true true
}

// Datagrams come from whoever sends them, and can be answered.
func ExampleListenPacket() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)

	server, err := scm.ListenPacket(ctx, "unixgram", filepath.Join(dir, "server"))
	must(err)
	defer server.Close()
	client, err := scm.ListenPacket(ctx, "unixgram", filepath.Join(dir, "client"))
	must(err)
	defer client.Close()

	question := scm.Message{
		Buffers: [][]byte{[]byte("what is this?")},
		FDs:     []int{0},
		Addr:    server.LocalAddr().(*net.UnixAddr),
	}
	must(client.Send(&question, 0))

	in := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
	must(server.Recv(&in, 0))
	fmt.Printf("%q and %d descriptor from %s\n", in.Buffers[0][:in.N], in.NFD, filepath.Base(in.Addr.Name))
	must(unix.Close(in.FDs[0]))
	// The path is the sender's word. Only one in our own folder is safe to answer.
	base, ours := strings.CutPrefix(in.Addr.Name, dir+"/")
	if !ours || strings.Contains(base, "/") {
		panic("not a client of ours")
	}
	must(server.Send(&scm.Message{Buffers: [][]byte{[]byte("standard input")}, Addr: in.Addr}, 0))

	p := make([]byte, 64)
	n, err := client.Read(p)
	must(err)
	fmt.Printf("%q\n", p[:n])
	// Output:
	// "what is this?" and 1 descriptor from client
	// "standard input"
}

// A connection of package net carries files too. Both are one connection.
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

	conn, err := scm.NewConn(c.(*net.UnixConn))
	must(err)
	fmt.Println(conn.WriteFiles([]byte{0}, os.Stdin))
	// Output: 1 <nil>
}

// A number that was inherited, say. What is no Unix socket stays the caller's.
func ExampleNewConnFD() {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	defer unix.Close(p[1])
	c, err := scm.NewConnFD(p[0])
	must(err) // p[0] is the Conn's from here on
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

// What a Go program sends often does not block. Before it goes on to a program
// that does not expect that, the mode can be set back, for the sender too.
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

	_, err := a.WriteFDs([]byte("numbers"), 0, 1, 2)
	must(err)
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 8)}
	must(b.Recv(&m, 0))
	fmt.Println(m.N, m.NFD)
	m.CloseFDs()
	// Output: 7 3
}

func ExampleNewConnFile() {
	a, b := twoConns()
	defer a.Close()
	f, err := b.File() // as of an *exec.Cmd's ExtraFiles, or of a service manager
	must(err)
	b.Close()
	defer f.Close()

	_, err = scm.NewConnFile(os.Stdin)
	fmt.Println(errors.Is(err, unix.ENOTSOCK))
	c, err := scm.Config{NoFiles: true}.NewConnFile(f)
	must(err)
	defer c.Close()
	_, err = c.WriteFiles([]byte("x"), f)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}
