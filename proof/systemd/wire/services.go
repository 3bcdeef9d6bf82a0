//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/proof/systemd/driver"
	"github.com/scm-rights/scm/wire"
)

const (
	stepFile   = "/run/step"   // what store is to do
	reportFile = "/run/report" // what a service reports
)

// ready writes the report, notifies systemd that the service has started, and waits to be stopped. systemd processes
// the messages of a service in order, so it has processed the earlier ones before systemctl returns to the driver.
func ready(manager wire.Socket, report string) error {
	err := os.WriteFile(reportFile, []byte(report), 0o666)
	if err := errors.Join(err, wire.Notify.Send(manager, "READY=1")); err != nil {
		return err
	}
	return unix.Pause()
}

// store reports the name and the text of each file that systemd kept for it. Then it stores two files or
// removes one, depending on the step.
func store() error {
	fds, names, err := wire.ListenFDs()
	if err != nil {
		return err
	}
	var kept []string
	for i, fd := range fds {
		text := make([]byte, 100)
		n, err := unix.Pread(fd, text, 0)
		if err != nil {
			return err
		}
		kept = append(kept, fmt.Sprintf("%s=%q", names[i], text[:n]))
	}
	slices.Sort(kept)
	manager, err := wire.DialNotify()
	if err != nil {
		return err
	}
	step, err := os.ReadFile(stepFile)
	if err != nil {
		return err
	}
	switch string(step) {
	case "store":
		err = errors.Join(storeMemory(manager, "keep"), storeMemory(manager, "drop"))
	case "remove":
		err = wire.NotifyRemove(manager, "drop")
	}
	if err != nil {
		return err
	}
	return ready(manager, strings.Join(kept, " "))
}

// storeMemory stores a memfd that contains "text of NAME".
func storeMemory(manager wire.Socket, name string) error {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.Write(fd, []byte("text of "+name)); err != nil {
		return err
	}
	return wire.NotifyStore(manager, name, fd)
}

// barrier reports whether systemd has processed every message when NotifyBarrier returns.
func barrier() error {
	manager, err := wire.DialNotify()
	if err != nil {
		return err
	}
	report := "ok"
	for range 10 {
		if err := waitForManager(manager); err != nil {
			report = err.Error()
		}
	}
	return ready(manager, report)
}

// waitForManager sends the write end of a pipe, which systemd closes when it processes the message.
func waitForManager(manager wire.Socket) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	err = wire.Notify.Send(manager, "STATUS=checking", int(w.Fd()))
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), driver.Patience)
	defer cancel()
	if err := wire.NotifyBarrier(ctx, manager); err != nil {
		return err
	}
	ends := []unix.PollFd{{Fd: int32(r.Fd())}}
	_, err = unix.Poll(ends, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(ends, 0)
	}
	if err != nil {
		return err
	}
	if ends[0].Revents&unix.POLLHUP == 0 {
		return errors.New("NotifyBarrier returned before systemd had processed an earlier message")
	}
	return nil
}

// listen sends the address of each socket and the result of listenAsAnother to a client of the socket named http.
func listen() error {
	pidfdID := "ok"
	if err := listenAsAnother(); err != nil {
		pidfdID = err.Error()
	}
	fds, names, err := wire.ListenFDs()
	if err != nil {
		return err
	}
	addresses := map[string]string{}
	var listener net.Listener
	for i, fd := range fds {
		address, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		if unixAddress, ok := address.(*unix.SockaddrUnix); ok {
			addresses[names[i]] = unixAddress.Name
		}
		// systemd does not keep the order of sockets from several units.
		if names[i] == "http" {
			file, err := scm.NewFile(fd, names[i])
			if err != nil {
				return err
			}
			if listener, err = net.FileListener(file); err != nil {
				return err
			}
		}
	}
	if listener == nil {
		return fmt.Errorf("no socket is named http: %q", names)
	}
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	var report []string
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		report = append(report, name+"="+addresses[name])
	}
	_, err = fmt.Fprintf(conn, "%s\n%s", strings.Join(report, " "), pidfdID)
	return errors.Join(err, conn.Close())
}

// listenAsAnother verifies that LISTEN_PIDFDID identifies this process, and that ListenFDs returns nothing if it
// identifies another one.
func listenAsAnother() error {
	id, found := os.LookupEnv("LISTEN_PIDFDID")
	if !found {
		return driver.ErrAbsent
	}
	own, err := inode()
	if err != nil {
		return err
	}
	if err := driver.Want(id, strconv.FormatUint(own, 10)); err != nil {
		return err
	}
	environment := map[string]string{}
	for _, name := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		environment[name] = os.Getenv(name)
	}
	if err := os.Setenv("LISTEN_PIDFDID", strconv.FormatUint(own+1, 10)); err != nil {
		return err
	}
	fds, _, err := wire.ListenFDs()
	for name, value := range environment {
		err = errors.Join(err, os.Setenv(name, value))
	}
	if err == nil && len(fds) > 0 {
		err = fmt.Errorf("ListenFDs returned %d descriptors of another process", len(fds))
	}
	return err
}

// inode returns the inode number of the pidfds of this process.
func inode() (uint64, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Ino, err
}
