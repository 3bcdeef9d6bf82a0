//go:build unix

package wire_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

// A runtime connects to its --console-socket and sends the master of the container's terminal. The Conmon
// format accepts messages from both runc and crun.
func ExampleFormat() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	terminal, err := os.Open(os.DevNull)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	if err := wire.Runc.Send(wire.FD(pair[0]), "/dev/ptmx", int(terminal.Fd())); err != nil {
		log.Fatal(err)
	}

	name, files, err := wire.RecvFiles(wire.Conmon, wire.FD(pair[1]))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = files[0].Close() }()
	fmt.Println(name)
	// Output: /dev/ptmx
}

// A partner may send a message very slowly, or never complete it. A Conn's deadline applies to the whole
// message.
func ExampleFormat_deadline() {
	a, b, err := scm.Pair("unix")
	if err != nil {
		log.Fatal(err)
	}
	// This also keeps a reachable. The garbage collector closes an unused Conn, and Recv would return
	// early.
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, err := a.Write([]byte{0}); err != nil { // one of four bytes
		log.Fatal(err)
	}
	if err := b.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		log.Fatal(err)
	}
	_, _, err = wire.Passfd.Recv(b)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

// A timer that calls shutdown(2) gives a Recv from an FD a deadline. SO_RCVTIMEO would restart with each
// byte.
func ExampleFD() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := unix.Write(pair[0], []byte{0}); err != nil { // one of four bytes
		log.Fatal(err)
	}

	deadline := time.AfterFunc(50*time.Millisecond, func() { _ = unix.Shutdown(pair[1], unix.SHUT_RDWR) })
	_, _, err = wire.Passfd.Recv(wire.FD(pair[1]))
	if !deadline.Stop() {
		fmt.Println("too late:", err)
	}
	// Output: too late: wire: passfd: unexpected EOF
}

// A program can look up a format by its name.
func ExampleLookup() {
	format, ok := wire.Lookup("gvisor")
	if !ok {
		log.Fatal("unknown format")
	}
	fmt.Println(format.Name(), format.Network())
	for _, f := range wire.Formats() {
		fmt.Print(f.Name(), " ")
	}
	// Output:
	// gvisor unixpacket
	// apue book conmon crun fusermount gvisor haproxy-sockpair notify openssh passfd python qemu-bridge-helper qmp runc seccomp-listener skalibs-ancil skalibs-unixmessage
}

// If a message violates the format, Recv closes all descriptors of the message and returns an error.
func ExampleFormatError() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := wire.Python.Send(wire.FD(pair[0]), "", 0, 1); err != nil {
		log.Fatal(err)
	}
	_, _, err = wire.SkalibsAncil.Recv(wire.FD(pair[1]))
	var format *wire.FormatError
	fmt.Println(errors.As(err, &format), format.Format)
	// Output: true skalibs-ancil
}

// The open server in APUE reports why it could not open a file.
func ExampleSendAPUEError() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := wire.SendAPUEError(wire.FD(pair[0]), 1, "can't open /nowhere\n"); err != nil {
		log.Fatal(err)
	}
	_, _, err = wire.APUE.Recv(wire.FD(pair[1]))
	var failure *wire.APUEError
	fmt.Println(errors.As(err, &failure), failure.Status, failure.Text)
	// Output: true 1 can't open /nowhere
}

// A service stores its listening socket with systemd, so that it gets the socket back after a restart. It
// then waits until systemd has processed the message.
func ExampleNotifyStore() {
	listener := 3
	sock, err := wire.DialNotify()
	if errors.Is(err, wire.ErrNoNotifySocket) {
		return // not started by a service manager
	} else if err != nil {
		log.Fatal(err)
	}
	defer sock.Close()
	if err := wire.NotifyStore(sock, "http", listener); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := wire.NotifyBarrier(ctx, sock); err != nil {
		log.Fatal(err)
	}
}

// A service has started its successor, which is connected to it, and is about to exit. Without the barrier,
// systemd would kill the successor together with the rest of the service.
func ExampleNotifyMain() {
	handOver := func(successor *scm.Conn) error {
		sock, err := wire.DialNotify()
		if err != nil {
			return err
		}
		defer sock.Close()
		cred, err := successor.PeerCred()
		if err != nil {
			return err
		}
		pidfd, err := successor.PeerPIDFD()
		if err != nil {
			pidfd = -1 // Linux before 6.5
		} else {
			defer func() { _ = unix.Close(pidfd) }()
		}
		if err := wire.NotifyMain(sock, cred.PID, pidfd); err != nil {
			return err
		}
		return wire.NotifyBarrier(context.Background(), sock)
	}
	_ = handOver
}

// After a restart, a service takes back the descriptor that it stored, and asks systemd to remove the
// others.
func ExampleListenFDs() {
	fds, names, err := wire.ListenFDs()
	if err != nil {
		log.Fatal(err)
	}
	for i, name := range names {
		if name == "http" {
			fmt.Println("listening on", fds[i])
			continue
		}
		_ = unix.Close(fds[i])
		if sock, err := wire.DialNotify(); err == nil {
			_ = wire.NotifyRemove(sock, name)
			_ = sock.Close()
		}
	}
}
