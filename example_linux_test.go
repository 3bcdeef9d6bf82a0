//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// One system call sends three messages, each with its own descriptor. Another one receives them.
func ExampleSendBatch() {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	must(err)
	defer unix.Close(p[0])
	defer unix.Close(p[1])

	var out []scm.Message
	for _, name := range []string{"/dev/null", "/dev/zero", "/"} {
		file, err := os.Open(name)
		must(err)
		defer file.Close()
		out = append(out, scm.Message{Buffers: [][]byte{[]byte(name)}, FDs: []int{int(file.Fd())}})
	}
	for rest := out; len(rest) > 0; {
		n, err := scm.SendBatch(p[0], rest, unix.MSG_NOSIGNAL)
		if err != nil {
			panic(err) // rest[0] and the messages after it were not sent
		}
		rest = rest[n:]
	}

	in := make([]scm.Message, 8)
	for i := range in {
		in[i] = scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1)}
	}
	n, err := scm.RecvBatch(p[1], in, unix.MSG_WAITFORONE)
	must(err)
	for _, m := range in[:n] {
		file, err := scm.NewFile(m.FDs[0], string(m.Buffers[0][:m.N]))
		must(err)
		info, err := file.Stat()
		must(err)
		fmt.Println(file.Name(), info.IsDir())
		file.Close()
	}
	// Output:
	// /dev/null false
	// /dev/zero false
	// / true
}

func ExamplePeerCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	peer, err := scm.PeerCred(a)
	must(err)
	fmt.Println("this process:", peer.PID == os.Getpid())
	fmt.Println("this user:", peer.UID == os.Geteuid())
	// Output:
	// this process: true
	// this user: true
}

// This server accepts only its own user and root. The listener closes other connections before the server
// sees them.
func ExampleConn_PeerCred() {
	sameUser := func(c *scm.Conn) error {
		peer, err := c.PeerCred()
		if err == nil && peer.UID != os.Geteuid() && peer.UID != 0 {
			err = os.ErrPermission
		}
		return err
	}
	l, err := scm.Config{Check: sameUser}.Listen(context.Background(), "unix", "")
	must(err)
	defer l.Close()

	client, err := scm.Dial(context.Background(), "unix", l.Addr().String())
	must(err)
	defer client.Close()
	server, err := l.AcceptConn()
	must(err)
	defer server.Close()
	fmt.Println("accepted")
	// Output: accepted
}

// By the time you use a PID, it can belong to another process. A pidfd always refers to the same process.
func ExamplePeerPIDFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	pidfd, err := scm.PeerPIDFD(a)
	if errors.Is(err, errors.ErrUnsupported) { // before Linux 6.5
		peer, err := scm.PeerCred(a)
		must(err)
		pidfd, err = unix.PidfdOpen(peer.PID, 0)
		must(err)
	} else {
		must(err)
	}
	// A pidfd is readable once its process has ended. The Go runtime can wait for that until a deadline.
	must(unix.SetNonblock(pidfd, true))
	process, err := scm.NewFile(pidfd, "pidfd")
	must(err)
	defer process.Close()
	must(process.SetReadDeadline(time.Now().Add(10 * time.Millisecond)))
	raw, err := process.SyscallConn()
	must(err)
	waited := false
	err = raw.Read(func(uintptr) (ended bool) { // called again once the pidfd is readable
		ended, waited = waited, true
		return ended
	})
	fmt.Println("running:", errors.Is(err, os.ErrDeadlineExceeded))
	// Output: running: true
}

// The process that sends a message need not be the one that made the connection. With each message, the
// kernel reports the sender's credentials and, on Linux 6.5 and later, a pidfd of the sender.
func ExamplePassCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	must(scm.PassCred(b, true))
	if err := scm.PassPIDFD(b, true); !errors.Is(err, errors.ErrUnsupported) {
		must(err)
	}

	must(scm.Send(a, &scm.Message{Buffers: [][]byte{[]byte("it is me")}}, 0))
	var sender scm.Cred
	var pidfd int
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, Cred: &sender, PIDFD: &pidfd}
	must(scm.Recv(b, &m, 0))
	fmt.Printf("%s: %v\n", m.Buffers[0][:m.N], sender.PID == os.Getpid())
	if pidfd >= 0 { // the caller closes it
		defer unix.Close(pidfd)
	}
	// Output: it is me: true
}

// A server that expects no descriptors makes the kernel reject them. If the kernel cannot do that, the
// server receives with a capacity of 0 descriptors.
func ExamplePassRights() {
	server, client := pairOfSockets()
	defer unix.Close(server)
	defer unix.Close(client)
	if err := scm.PassRights(server, false); !errors.Is(err, errors.ErrUnsupported) { // from Linux 6.16
		must(err)
	}

	_, err := scm.WriteFD(client, []byte("a file"), 0)
	if errors.Is(err, unix.EPERM) {
		_, err = unix.Write(client, []byte("a word")) // plain data still gets through
	}
	must(err)
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}}
	must(scm.Recv(server, &m, 0))
	fmt.Println(m.N, "bytes,", m.NFD, "descriptors")
	// Output: 6 bytes, 0 descriptors
}

// sun_path holds at most 107 bytes. Dial and Listen reach a longer path through its directory.
func ExampleDial_longPath() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	deep := filepath.Join(dir, strings.Repeat("deep/", 30))
	must(os.MkdirAll(deep, 0o700))
	path := filepath.Join(deep, "socket")

	l, err := scm.Listen(ctx, "unix", path)
	must(err)
	defer l.Close()
	c, err := scm.Dial(ctx, "unix", path)
	must(err)
	defer c.Close()
	fmt.Println(len(path) > 107, l.Addr().String() == path)
	// Output: true true
}

// An abstract name has no file, and disappears with its socket.
func ExampleDial_abstract() {
	ctx := context.Background()
	l, err := scm.Listen(ctx, "unixpacket", "") // Linux chooses one
	must(err)
	c, err := scm.Dial(ctx, "unixpacket", l.Addr().String())
	must(err)
	c.Close()
	l.Close()
	_, err = scm.Dial(ctx, "unixpacket", l.Addr().String())
	fmt.Println(err != nil)
	// Output: true
}
