//go:build unix

// Package migrating has the code that docs/migrating.md shows as "after", and an example for docs/handover.md.
package migrating

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/framed"
)

// The page and this file have the same code, except for its indentation.
func TestPage(t *testing.T) {
	page, source := program.ReadFlat("../../docs/migrating.md"), program.ReadFlat("migrating_test.go")
	shown := 0
	for _, part := range strings.Split(page, "\nAfter:\n\n```go\n")[1:] {
		code, _, _ := strings.Cut(part, "\n```")
		if shown++; !strings.Contains(source, code) {
			t.Errorf("no example has\n%s", code)
		}
	}
	if functions := strings.Count(source, "\nfunc Example"); shown != functions {
		t.Errorf("%d examples, and %d on the page", functions, shown)
	}
}

// streams are two connected sockets of package net.
func streams() (a, b *net.UnixConn) {
	x, y, err := scm.Pair("unix")
	if err != nil {
		panic(err)
	}
	return x.UnixConn, y.UnixConn
}

func Example_runc() {
	a, b := streams()
	socket, _ := a.File()
	other, _ := b.File()
	defer closeAll(a, b, socket, other)

	send := func(socket *os.File, file *os.File) error {
		conn, err := scm.NewConnFile(socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.SendFile(file.Name(), file)
	}
	receive := func(socket *os.File) (*os.File, error) {
		conn, err := scm.NewConnFile(socket)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.RecvFile() // exactly one descriptor, or an error
	}

	null, _ := os.Open(os.DevNull)
	fmt.Println(send(socket, null))
	file, err := receive(other)
	fmt.Println(file.Name(), err)
	closeAll(null, file)
	// Output:
	// <nil>
	// /dev/null <nil>
}

func Example_xsys() {
	conn, other := streams()
	defer closeAll(conn, other)
	payload, buffer := []byte("hello"), make([]byte, 100)

	send := func(conn *net.UnixConn, files ...*os.File) error {
		c, err := scm.NewConn(conn)
		if err == nil {
			_, err = c.WriteFiles(payload, files...) // writes the whole payload
		}
		return err
	}
	receive := func(conn *net.UnixConn) (int, []*os.File, error) {
		c, err := scm.NewConn(conn)
		if err != nil {
			return 0, nil, err
		}
		return c.ReadFiles(buffer, 2) // obeys the deadlines of conn
	}

	fmt.Println(send(conn, os.Stdin, os.Stdout))
	n, files, err := receive(other)
	fmt.Println(n, len(files), err)
	closeFiles(files)
	// Output:
	// <nil>
	// 5 2 <nil>
}

func Example_fdchannel() {
	fds, err := fdchannel.NewConnectedSockets() // github.com/scm-rights/scm/fdchannel
	if err != nil {
		fmt.Println(err)
		return
	}
	a, b := fdchannel.NewEndpoint(fds[0]), fdchannel.NewEndpoint(fds[1])
	defer a.Destroy()
	defer b.Destroy()
	fmt.Println(a.SendFD(1))
	fd, err := b.RecvFD()

	fmt.Println(fd > 2, err)
	_ = os.NewFile(uintptr(fd), "received").Close()
	// Output:
	// <nil>
	// true <nil>
}

func Example_fuse() {
	a, b := streams()
	commfd, _ := b.File()
	defer closeAll(a, b, commfd)
	helper, _ := scm.NewConn(a)
	_, _ = helper.WriteFiles([]byte{0}, os.Stdin)

	receive := func(commfd *os.File) (*os.File, error) {
		conn, err := scm.NewConnFile(commfd)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		_, files, err := conn.ReadFiles(make([]byte, 4), 1)
		if err == nil && len(files) == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		return files[0], nil
	}

	device, err := receive(commfd)
	fmt.Println(device != nil, err)
	_ = device.Close()
	// Output: true <nil>
}

func Example_framing() {
	a, b := streams()
	defer closeAll(a, b)
	client, _ := scm.NewConn(a)
	w := framed.NewWriter(client)
	_ = w.Attach(os.Stdin, os.Stdout)
	_, _ = w.Write([]byte("\x05\x00\x02\x00hello"))

	serve := func(conn *net.UnixConn) error {
		c, err := scm.NewConn(conn)
		if err != nil {
			return err
		}
		r := framed.NewReader(c, framed.Limits{Message: 16, Waiting: 64})
		defer r.Close() // closes files that no message has claimed
		in := bufio.NewReader(r)
		for {
			var header struct{ Length, Files uint16 }
			if err := binary.Read(in, binary.LittleEndian, &header); err != nil {
				return err
			}
			body := make([]byte, header.Length)
			if _, err := io.ReadFull(in, body); err != nil {
				return err
			}
			files, err := r.Take(int(header.Files))
			if err != nil {
				return err
			}
			handle(body, files)
		}
	}

	_ = client.CloseWrite()
	fmt.Println(serve(b))
	// Output:
	// "hello" with 2
	// EOF
}

func handle(body []byte, files []*os.File) {
	fmt.Printf("%q with %d\n", body, len(files))
	closeFiles(files)
}

func Example_c() {
	a, b, err := scm.Pair("unix")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll(a, b)
	files := []int{0, 1, 2}

	_, err = a.WriteFDs([]byte("hello"), files...) // vmm-sys-util's send_with_fd, send_with_fds
	first, second := make([]byte, 2), make([]byte, 8)
	n, received, err2 := b.ReadBuffers([][]byte{first, second}, 3) // recv_with_fds

	fmt.Println(err, n, len(received), err2)
	closeFiles(received)
	// Output: <nil> 5 3 <nil>
}

func closeAll(all ...io.Closer) {
	for _, c := range all {
		_ = c.Close()
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
