//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func ExamplePeerCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	peer, err := scm.PeerCred(a)
	if err != nil {
		panic(err)
	}
	fmt.Println("this process:", peer.PID == os.Getpid())
	fmt.Println("this user:", peer.UID == os.Geteuid())
	// Output:
	// this process: true
	// this user: true
}

// A server that serves its own user, and root, and nobody else: the others'
// connections are closed before the server sees them.
func ExampleConn_PeerCred() {
	sameUser := func(c *scm.Conn) error {
		peer, err := c.PeerCred()
		if err == nil && peer.UID != os.Geteuid() && peer.UID != 0 {
			err = os.ErrPermission
		}
		return err
	}
	l, err := scm.Config{Check: sameUser}.Listen(context.Background(), "unix", "")
	if err != nil {
		panic(err)
	}
	defer l.Close()

	client, err := scm.Dial(context.Background(), "unix", l.Addr().String())
	if err != nil {
		panic(err)
	}
	defer client.Close()
	server, err := l.AcceptConn()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	fmt.Println("accepted")
	// Output: accepted
}

// A PID may be another process's by the time that it is used. A pidfd is not.
func ExamplePeerPIDFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)

	pidfd, err := scm.PeerPIDFD(a)
	if errors.Is(err, scm.ErrUnsupported) { // before Linux 6.5
		peer, err := scm.PeerCred(a)
		if err != nil {
			panic(err)
		}
		if pidfd, err = unix.PidfdOpen(peer.PID, 0); err != nil {
			panic(err)
		}
	} else if err != nil {
		panic(err)
	}
	defer unix.Close(pidfd)
	fmt.Println("alive:", unix.PidfdSendSignal(pidfd, 0, nil, 0) == nil)
	// Output: alive: true
}

// Who sent a message can be another than who made the connection: the kernel
// tells with each message.
func ExamplePassCred() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	if err := scm.PassCred(b, true); err != nil {
		panic(err)
	}

	if err := scm.Send(a, &scm.Message{Buffers: [][]byte{[]byte("it is me")}}, 0); err != nil {
		panic(err)
	}
	var sender scm.Cred
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, Cred: &sender}
	if err := scm.Recv(b, &m, 0); err != nil {
		panic(err)
	}
	fmt.Printf("%s: %v\n", m.Buffers[0][:m.N], sender.PID == os.Getpid())
	// Output: it is me: true
}

func ExamplePassPIDFD() {
	a, b := pairOfSockets()
	defer unix.Close(a)
	defer unix.Close(b)
	err := scm.PassPIDFD(b, true)
	if err != nil && !errors.Is(err, scm.ErrUnsupported) { // from Linux 6.5
		panic(err)
	}

	if err := scm.Send(a, &scm.Message{Buffers: [][]byte{[]byte("it is me")}}, 0); err != nil {
		panic(err)
	}
	var pidfd int
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}, PIDFD: &pidfd}
	if err := scm.Recv(b, &m, 0); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", m.Buffers[0][:m.N])
	if pidfd >= 0 { // the caller's to close
		defer unix.Close(pidfd)
	}
	// Output: it is me
}

// A server that expects no descriptors has the kernel refuse them. Where it does
// not know how to, there is no room for them.
func ExamplePassRights() {
	server, client := pairOfSockets()
	defer unix.Close(server)
	defer unix.Close(client)
	err := scm.PassRights(server, false)
	if err != nil && !errors.Is(err, scm.ErrUnsupported) { // from Linux 6.16
		panic(err)
	}

	_, err = scm.WriteFD(client, []byte("a file"), 0)
	if errors.Is(err, unix.EPERM) {
		_, err = unix.Write(client, []byte("a word")) // plain data passes
	}
	if err != nil {
		panic(err)
	}
	m := scm.Message{Buffers: [][]byte{make([]byte, 64)}}
	if err := scm.Recv(server, &m, 0); err != nil {
		panic(err)
	}
	fmt.Println(m.N, "bytes,", m.NFD, "descriptors")
	// Output: 6 bytes, 0 descriptors
}
