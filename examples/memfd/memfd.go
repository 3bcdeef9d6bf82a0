//go:build linux

// Command memfd shares memory with a C program, which changes the text in it to capital letters.
//
//	memfd PARTNER TEXT
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: memfd PARTNER TEXT")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("memfd: ", err)
	}
}

func run(partner, text string) (err error) {
	fd, err := unix.MemfdCreate("shared", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "shared")
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	// From now on the size cannot change.
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	memory, err := unix.Mmap(fd, 0, len(text), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(memory)) }()

	ours, theirs, err := scm.Pair("unix")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	socket, err := theirs.File()
	if err != nil {
		return err
	}
	// Only the partner uses this end of the socket from now on, and it expects blocking calls.
	if err := errors.Join(scm.SetNonblock(socket, false), theirs.Close()); err != nil {
		return err
	}
	cmd := exec.Command(partner) // the socket is its descriptor 3
	cmd.ExtraFiles, cmd.Stderr = []*os.File{socket}, os.Stderr
	if err := errors.Join(cmd.Start(), socket.Close()); err != nil {
		return err
	}
	_, err = ours.WriteFiles([]byte{0}, file)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	fmt.Printf("%s\n", memory)
	return nil
}
