//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// configs lists the configurations of a Conn. No configuration has an Expect that accepts files, because
// the Conn would examine the files with system calls that are not part of a backend.
var configs = []scm.Config{{}, {}, {KeepTruncated: true}, {Expect: &scm.Expect{}}}

// socketFile is the index of a Unix socket among the files. withConns does not use the UDP socket,
// because after its first use it has a different port in each run.
const socketFile = 8

// withConns makes a Conn of each socket, and calls random methods of the Conns.
func (w *walker) withConns(operations int) {
	var conns [2]*scm.Conn
	var err error
	var files []*os.File
	for i := range 4 {
		files = append(files, w.file(i+1))
	}
	socket := w.file(socketFile)
	closed := w.file(0)
	check(closed.Close())
	for i, fd := range w.socks {
		config := oneOf(w, configs)
		w.call(fmt.Sprintf("NewConnFD %d", fd), func() { conns[i], err = config.NewConnFD(fd) }, &err)
	}
	for range operations {
		c := conns[w.pick(2)]
		// Make no call that would block.
		events := ready(c)
		sends := w.oneIn(2)
		switch {
		case sends && events&unix.POLLOUT != 0:
			w.connSend(c, files, socket, closed)
		case !sends && events&unix.POLLIN != 0:
			w.connRecv(c)
		}
	}
	for i, c := range conns {
		w.call("Close", func() { err = c.Close() }, &err)
		if i == 0 && w.oneIn(2) && ready(conns[1])&unix.POLLIN != 0 {
			w.connRecv(conns[1])
		}
	}
	for _, f := range append(files, socket) {
		check(f.Close())
	}
}

// ready returns the events that poll(2) reports for a Conn.
func ready(c *scm.Conn) int16 {
	raw, err := c.SyscallConn()
	check(err)
	p := []unix.PollFd{{Events: unix.POLLIN | unix.POLLOUT}}
	check(raw.Control(func(fd uintptr) {
		p[0].Fd = int32(fd)
		_, err = unix.Poll(p, 0)
		for err == unix.EINTR {
			_, err = unix.Poll(p, 0)
		}
	}))
	check(err)
	return p[0].Revents
}

// connFlags lists the flags of sends after which poll reports correctly whether a receive would block.
var connFlags = []int{0, unix.MSG_NOSIGNAL, unix.MSG_DONTWAIT, unix.MSG_EOR, unix.MSG_MORE}

func (w *walker) connSend(c *scm.Conn, files []*os.File, socket, closed *os.File) {
	var n int
	var err error
	var pass []*os.File
	for range oneOf(w, fdCounts) {
		pass = append(pass, oneOf(w, files))
	}
	switch {
	case w.oneIn(24):
		pass = append(pass, nil)
	case w.oneIn(24):
		pass = append(pass, closed)
	case w.oneIn(24):
		for len(pass) < 254 {
			pass = append(pass, files[0])
		}
	}
	p := w.payload(oneOf(w, lengths))
	switch w.pick(5) {
	case 0:
		what := fmt.Sprintf("Conn.WriteFiles %d bytes, %d files", len(p), len(pass))
		w.call(what, func() { n, err = c.WriteFiles(p, pass...) }, &n, &err)
	case 1:
		w.call(fmt.Sprintf("Conn.Write %d bytes", len(p)), func() { n, err = c.Write(p) }, &n, &err)
	case 2:
		name := strings.Repeat("n", oneOf(w, []int{0, 1, 5, 4095, 4096}))
		f := oneOf(w, append(files, closed))
		w.call(fmt.Sprintf("Conn.SendFile %d bytes", len(name)), func() { err = c.SendFile(name, f) }, &err)
	case 3:
		m := w.outgoing(lengths)
		m.Addr = nil // the receive buffer at the address may be full
		flags := oneOf(w, connFlags)
		what := fmt.Sprintf("Conn.Send flags %#x, %s", flags, describeMessages(m))
		w.call(what, func() { err = c.Send(&m, flags) }, &m.N, &err)
	case 4:
		f := oneOf(w, []*os.File{socket, socket, files[0]})
		name := "SendConn"
		send := func() error { return c.SendConn(fdtest.AsSocket(f)) }
		if w.oneIn(2) {
			name = "SendListener"
			send = func() error { return c.SendListener(fdtest.AsSocket(f)) }
		}
		w.call("Conn."+name+" "+f.Name(), func() { err = send() }, &err)
	}
}

func (w *walker) connRecv(c *scm.Conn) {
	var n int
	var err error
	switch w.pick(6) {
	case 0:
		p := w.space(oneOf(w, lengths))
		most := oneOf(w, append(fdCounts, 253, 254))
		var files []*os.File
		what := fmt.Sprintf("Conn.ReadFiles %d bytes, %d files", len(p), most)
		w.call(what, func() { n, files, err = c.ReadFiles(p, most) }, &n, &err, p)
		fmt.Fprintln(w.out, len(files), "files")
		for _, f := range files {
			check(f.Close())
		}
	case 1:
		p := w.space(oneOf(w, lengths))
		w.call(fmt.Sprintf("Conn.Read %d bytes", len(p)), func() { n, err = c.Read(p) }, &n, &err, p)
	case 2:
		var f *os.File
		w.call("Conn.RecvFile", func() { f, err = c.RecvFile() }, &err)
		if f != nil {
			fmt.Fprintln(w.out, len(f.Name()), "bytes")
			check(f.Close())
		}
	case 3:
		m := w.incoming(lengths)
		flags := oneOf(w, []int{0, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_WAITALL, unix.MSG_CMSG_CLOEXEC})
		w.call(fmt.Sprintf("Conn.Recv flags %#x, %s", flags, describeMessages(m)), func() { err = c.Recv(&m, flags) }, &m, &err)
		closeMessage(&m)
	case 4:
		p := w.space(oneOf(w, lengths))
		fds := make([]int, oneOf(w, append(fdCounts, 253, 254)))
		nfd := 0
		what := fmt.Sprintf("Conn.ReadFDs %d bytes, %d descriptors", len(p), len(fds))
		w.call(what, func() { n, nfd, err = c.ReadFDs(p, fds) }, &n, &err, p)
		fmt.Fprintln(w.out, nfd, "descriptors")
		scm.CloseFDs(fds[:nfd]...)
	case 5:
		w.receiveSocket("RecvConn", func() (io.Closer, error) { return c.RecvConn() })
	}
}

// closeMessage closes the descriptors received with m.
func closeMessage(m *scm.Message) {
	for _, fd := range m.FDs[:m.NFD] {
		check(unix.Close(fd))
	}
	if m.PIDFD != nil && *m.PIDFD >= 0 {
		check(unix.Close(*m.PIDFD))
	}
}
