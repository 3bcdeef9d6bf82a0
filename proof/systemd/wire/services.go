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
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
	"github.com/scm-rights/scm/wire"
)

const (
	stepFile   = "/run/step"   // what store is to do
	reportFile = "/run/report" // what a service reports
)

// ready writes the report, notifies systemd that the service has started, and waits to be stopped. systemd processes
// the messages of a service in order, so it has processed the earlier ones before systemctl returns to the driver.
func ready(manager wire.Socket, report string) {
	must.OK(os.WriteFile(reportFile, []byte(report), 0o666))
	must.OK(wire.Notify.Send(manager, "READY=1"))
	must.OK(unix.Pause())
}

// listenFDs returns what systemd passed to this service.
func listenFDs() (fds []int, names []string) {
	fds, names, err := wire.ListenFDs()
	must.OK(err)
	return fds, names
}

// store reports the name and the text of each file that systemd kept for it. Then it stores two files or
// removes one, depending on the step.
func store() {
	fds, names := listenFDs()
	var kept []string
	for i, fd := range fds {
		text := make([]byte, 100)
		n := must.Get(unix.Pread(fd, text, 0))
		kept = append(kept, fmt.Sprintf("%s=%q", names[i], text[:n]))
	}
	slices.Sort(kept)
	manager := must.Get(wire.DialNotify())
	switch step := must.Get(os.ReadFile(stepFile)); string(step) {
	case "store":
		storeMemory(manager, "keep")
		storeMemory(manager, "drop")
	case "remove":
		must.OK(wire.NotifyRemove(manager, "drop"))
	}
	ready(manager, strings.Join(kept, " "))
}

// storeMemory stores a memfd that contains "text of NAME".
func storeMemory(manager wire.Socket, name string) {
	fd := must.Get(unix.MemfdCreate(name, unix.MFD_CLOEXEC))
	defer func() { _ = unix.Close(fd) }()
	must.Get(unix.Write(fd, []byte("text of "+name)))
	must.OK(wire.NotifyStore(manager, name, fd))
}

// barrier reports whether systemd has processed every message when NotifyBarrier returns.
func barrier() {
	manager := must.Get(wire.DialNotify())
	report := "ok"
	for range 10 {
		if err := must.Try(func() { waitForManager(manager) }); err != nil {
			report = err.Error()
		}
	}
	ready(manager, report)
}

// waitForManager sends the write end of a pipe, which systemd closes when it processes the message.
func waitForManager(manager wire.Socket) {
	r, w, err := os.Pipe()
	must.OK(err)
	defer func() { _ = r.Close() }()
	err = wire.Notify.Send(manager, "STATUS=checking", int(w.Fd()))
	must.OK(errors.Join(err, w.Close()))
	ctx, cancel := context.WithTimeout(context.Background(), driver.Timeout)
	defer cancel()
	must.OK(wire.NotifyBarrier(ctx, manager))
	ends := []unix.PollFd{{Fd: int32(r.Fd())}}
	_, err = unix.Poll(ends, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(ends, 0)
	}
	must.OK(err)
	if ends[0].Revents&unix.POLLHUP == 0 {
		must.Failf("NotifyBarrier returned before systemd had processed an earlier message")
	}
}

// listen sends the address of each socket and the result of listenAsAnother to a client of the socket named http.
func listen() {
	pidfdID := "ok"
	if err := must.Try(listenAsAnother); err != nil {
		pidfdID = err.Error()
	}
	fds, names := listenFDs()
	addresses := map[string]string{}
	var listener net.Listener
	for i, fd := range fds {
		address := must.Get(unix.Getsockname(fd))
		if unixAddress, ok := address.(*unix.SockaddrUnix); ok {
			addresses[names[i]] = unixAddress.Name
		}
		// systemd does not keep the order of sockets from several units.
		if names[i] == "http" {
			listener = must.Get(net.FileListener(must.Get(scm.NewFile(fd, names[i]))))
		}
	}
	if listener == nil {
		must.Failf("no socket is named http: %q", names)
	}
	conn := must.Get(listener.Accept())
	var report []string
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		report = append(report, name+"="+addresses[name])
	}
	must.Get(fmt.Fprintf(conn, "%s\n%s", strings.Join(report, " "), pidfdID))
	must.OK(conn.Close())
}

// listenAsAnother verifies that LISTEN_PIDFDID identifies this process, and that ListenFDs returns nothing if it
// identifies another one.
func listenAsAnother() {
	id, found := os.LookupEnv("LISTEN_PIDFDID")
	if !found {
		must.OK(driver.ErrAbsent)
	}
	own := inode()
	driver.Want(id, strconv.FormatUint(own, 10))
	for _, name := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		value := os.Getenv(name)
		defer func() { must.OK(os.Setenv(name, value)) }()
	}
	must.OK(os.Setenv("LISTEN_PIDFDID", strconv.FormatUint(own+1, 10)))
	if fds, _ := listenFDs(); len(fds) > 0 {
		must.Failf("ListenFDs returned %d descriptors of another process", len(fds))
	}
}

// inode returns the inode number of the pidfds of this process.
func inode() uint64 {
	fd := must.Get(unix.PidfdOpen(os.Getpid(), 0))
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	must.OK(unix.Fstat(fd, &st))
	return st.Ino
}
