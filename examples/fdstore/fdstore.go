//go:build linux

// Command fdstore is a service that counts its starts in a memfd, which systemd keeps open across restarts.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

func main() {
	if err := run(); err != nil {
		log.Fatal("fdstore: ", err)
	}
}

func run() error {
	files, err := kept()
	if err != nil {
		return err
	}
	var state *os.File
	if len(files["state"]) > 0 {
		state = files["state"][0]
	}
	manager, err := wire.DialNotify()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(int(manager)) }()
	if state == nil {
		if state, err = create("state"); err != nil {
			return err
		}
		if err := wire.NotifyStoreFiles(manager, "state", state); err != nil {
			return err
		}
	}
	defer func() { _ = state.Close() }()

	count := make([]byte, 1)
	if _, err := state.ReadAt(count, 0); err != nil {
		return err
	}
	count[0]++
	if _, err := state.WriteAt(count, 0); err != nil {
		return err
	}
	fmt.Println("start", count[0])

	if err := wire.Notify.Send(manager, "READY=1"); err != nil {
		return err
	}
	// Before it exits, the service waits until the manager has read its messages. Otherwise the manager
	// may not be able to find out which service sent them.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return wire.NotifyBarrier(ctx, manager)
}

// kept returns the files that the manager kept for the service, by name. Several files can have the same name.
func kept() (map[string][]*os.File, error) {
	fds, names, err := wire.ListenFDs()
	if err != nil {
		return nil, err
	}
	files := map[string][]*os.File{}
	for i, fd := range fds {
		file, err := scm.NewFile(fd, names[i])
		if err != nil {
			return nil, err
		}
		files[names[i]] = append(files[names[i]], file)
	}
	return files, nil
}

// create creates a memfd that contains a single 0 byte.
func create(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), name)
	return file, file.Truncate(1)
}
