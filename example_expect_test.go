//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// A server that maps what clients pass takes exactly one memfd, sealed against
// shrinking and writing. A client could shrink a file without the first seal once
// it is mapped, and the server would be killed by SIGBUS when it next touches the
// mapping; without the second it could change what the server has checked.
func ExampleExpect() {
	server, client := pairOfSockets()
	defer unix.Close(server)
	defer unix.Close(client)

	sealed := scm.Expect{
		Min: 1, Max: 1,
		Kind:  "memfd",
		Seals: unix.F_SEAL_SHRINK | unix.F_SEAL_WRITE,
	}
	serve := func() {
		m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1)}
		if err := sealed.Recv(server, &m, 0); err != nil {
			fmt.Println(err) // what came is closed
			return
		}
		fd := m.FDs[0]
		defer unix.Close(fd)

		// No system call, and no page fault, can find less than this from here on.
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			panic(err)
		}
		data, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		defer unix.Munmap(data)
		fmt.Printf("mapped %q\n", data)
	}
	pass := func(fds ...int) {
		if err := scm.Send(client, &scm.Message{Buffers: [][]byte{{0}}, FDs: fds}, 0); err != nil {
			panic(err)
		}
	}

	fd, err := unix.MemfdCreate("example", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		panic(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("hello")); err != nil {
		panic(err)
	}

	pass(client) // something else
	serve()
	pass(fd) // not yet sealed
	serve()
	pass() // nothing
	serve()
	pass(fd, fd) // more than there is room for
	serve()

	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sealed.Seals); err != nil {
		panic(err)
	}
	pass(fd)
	serve()
	// Output:
	// scm: wanted a memfd sealed against shrinking and writing, got a Unix stream socket (read-write)
	// scm: wanted a memfd sealed against shrinking and writing, got a memfd (read-write) without seals
	// scm: wanted exactly 1 descriptor, got no descriptor
	// scm: wanted a whole message, got 1 descriptor of a message that was cut
	// mapped "hello"
}

// A Conn holds what it receives to it: here the reading end of a pipe, which is
// what the partner passes, and not a directory.
func ExampleConn_RecvExpect() {
	a, b, err := scm.Pair("unixpacket")
	if err != nil {
		panic(err)
	}
	defer a.Close()
	defer b.Close()
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close()

	for _, kind := range []scm.Kind{"directory", "pipe"} {
		if _, err := a.WriteFiles(nil, r); err != nil {
			panic(err)
		}
		m := scm.Message{FDs: make([]int, 1)}
		err := b.RecvExpect(scm.Expect{Min: 1, Max: 1, Kind: kind, Access: "read-only"}, &m, 0)
		fmt.Println(m.NFD, err)
		if err == nil {
			unix.Close(m.FDs[0])
		}
	}
	// Output:
	// 0 scm: wanted a directory (read-only), got a pipe (read end)
	// 1 <nil>
}

// A file of a kind that is expected, as an os.File.
func ExampleNewFile() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close()
	if err := scm.Send(a, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{int(r.Fd())}}, 0); err != nil {
		panic(err)
	}

	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
	if err := (scm.Expect{Min: 1, Max: 1, Kind: "pipe", Access: "read"}).Recv(b, &m, 0); err != nil {
		panic(err)
	}
	received, err := scm.NewFile(m.FDs[0], "pipe")
	if err != nil {
		unix.Close(m.FDs[0])
		panic(err)
	}
	defer received.Close()
	fmt.Fprint(w, "through the pipe")
	w.Close()
	text, _ := io.ReadAll(received)
	fmt.Printf("%s: %s\n", received.Name(), text)
	// Output:
	// pipe: through the pipe
}

// What was received by other means is held to it by its numbers.
func ExampleExpect_Check() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := scm.WriteFD(a, []byte{0}, int(r.Fd())); err != nil {
		panic(err)
	}

	_, fd, err := scm.ReadFD(b, make([]byte, 1))
	if err != nil {
		panic(err)
	}
	log := scm.Expect{Min: 1, Max: 1, Access: "write"} // a file to write a log to
	fmt.Println(log.Check([]int{fd}))
	// Output:
	// scm: wanted a file open for writing, got a pipe (read end)
}

// Sockets can be told by the family and type of socket(2), and an error tells
// which descriptor is wrong.
func ExampleExpectError() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	if err := scm.Send(a, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{a, 0}}, 0); err != nil {
		panic(err)
	}

	unixStreams := scm.Expect{Min: 1, Max: 8, Family: unix.AF_UNIX, Type: unix.SOCK_STREAM}
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 8)}
	var failed *scm.ExpectError
	if err := unixStreams.Recv(b, &m, 0); errors.As(err, &failed) {
		fmt.Printf("descriptor %d should be %s\n", failed.Index, failed.Want)
		fmt.Println("received:", m.N, "byte,", m.NFD, "descriptors")
	}
	// Output:
	// descriptor 1 should be a Unix stream socket
	// received: 1 byte, 0 descriptors
}
