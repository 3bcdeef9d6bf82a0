//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

type inPlace struct{ server *httpdrain.Server }

func newInPlace() *inPlace {
	version := time.Now().String()
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, version) }
	// While an old client is idle, new ones wait.
	server := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}
	return &inPlace{httpdrain.New(server)}
}

func (s *inPlace) serve(l net.Listener) error { return s.server.Serve(l) }

func (s *inPlace) drain(ctx context.Context, _ net.Listener) error { return s.server.Drain(ctx) }

// replace executes the new version in this process. Until it serves, clients wait in the queue of the socket.
func (s *inPlace) replace(ctx context.Context, release func() bool, p *handover.Process, l net.Listener) error {
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	socket, err := l.(*net.TCPListener).File() // a duplicate, because Drain closes l
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	drain(ctx, s, l)
	_ = p.Close() // removes the file of the Unix socket
	// Listen of the new version finds descriptor 3, as if a service manager had passed it. It is not one with which Go's
	// runtime waits, because Start has opened a socket before any timer was started.
	if fd := int(socket.Fd()); fd != 3 { //scmvet:ignore scmfd Drain has closed l
		err = unix.Dup2(fd, 3)
	} else {
		_, err = unix.FcntlInt(3, unix.F_SETFD, 0) // do not close it
	}
	if err != nil {
		return err
	}
	if release() { // the new version does not receive the signals of this one
		return nil
	}
	env := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()), "LISTEN_FDS=1", "LISTEN_FDNAMES=main")
	return syscall.Exec(program, os.Args, env)
}
