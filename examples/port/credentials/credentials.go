//go:build linux

// Credentials is ../c/credentials.c in Go.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: credentials FILE [first]")
	}
	if err := run(os.Args[1], len(os.Args) > 2); err != nil {
		log.Fatal(err)
	}
}

func run(name string, first bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return err
	}
	defer scm.CloseFDs(ends[:]...)
	if err := scm.PassCred(ends[1], true); err != nil {
		return err
	}
	if first {
		err = sendFirst(ends[0], f)
	} else {
		err = send(ends[0], f)
	}
	if err != nil {
		return err
	}
	user, err := receive(ends[1])
	if err != nil {
		return err
	}
	fmt.Printf("user %d sent %s\n", user, name)
	return nil
}

func send(sock int, f *os.File) error {
	return scm.Send(sock, &scm.Message{
		Buffers: [][]byte{{0}},
		FDs:     []int{int(f.Fd())},
		Cred:    &scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()},
	}, 0)
}

func receive(sock int) (user int, err error) {
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), Cred: new(scm.Cred)}
	if err := scm.Recv(sock, &m, 0); err != nil {
		return 0, err
	}
	defer m.Close()
	if m.NFD != 1 || m.Truncated() {
		return 0, errors.New("received no file")
	}
	return m.Cred.UID, nil
}

// sendFirst sends the credentials as the first control message.
func sendFirst(sock int, f *os.File) error {
	cred := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	_, err := unix.SendmsgN(sock, []byte{0}, append(cred, unix.UnixRights(int(f.Fd()))...), nil, 0)
	return err
}
