//go:build unix

package scm_test

import (
	"errors"
	"fmt"
	"io"
	"os"

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
	defer in.CloseFDs()
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
			m.CloseFDs()
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
