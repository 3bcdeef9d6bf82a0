//go:build linux

package scm_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// work is what a pass uses. As in proof/bench, a pass sends a byte and descriptors over a stream, receives them, and
// closes those received.
type work struct {
	x, y       int       // blocking sockets
	a, b       *scm.Conn // non-blocking sockets, for package net too
	fds        []int
	files      []*os.File
	p, control []byte
	out, in    scm.Message
}

var counts = []int{1, 16, 253}

func benchmark(b *testing.B, counts []int, pass func(w *work)) {
	null, err := os.Open(os.DevNull)
	must(err)
	defer null.Close()
	for _, n := range counts {
		b.Run(fmt.Sprint("fds=", n), func(b *testing.B) {
			w := work{p: make([]byte, 1), control: make([]byte, unix.CmsgSpace(4*n))}
			w.x, w.y = pairOfSockets()
			defer scm.CloseFDs(w.x, w.y)
			w.a, w.b = twoConns()
			defer w.a.Close()
			defer w.b.Close()
			w.files, w.fds = slices.Repeat([]*os.File{null}, n), slices.Repeat([]int{int(null.Fd())}, n)
			w.out = scm.Message{Buffers: [][]byte{w.p}, FDs: w.fds}
			w.in = scm.Message{Buffers: [][]byte{w.p}, FDs: make([]int, n)}
			for b.Loop() {
				pass(&w)
			}
		})
	}
}

func BenchmarkXSys(b *testing.B)      { benchmark(b, counts, func(w *work) { w.passFDs(w.xsys) }) }
func BenchmarkXSysFiles(b *testing.B) { benchmark(b, counts, func(w *work) { w.passFiles(w.xsys) }) }
func BenchmarkNet(b *testing.B)       { benchmark(b, counts, func(w *work) { w.passFDs(w.net) }) }
func BenchmarkNetFiles(b *testing.B)  { benchmark(b, counts, func(w *work) { w.passFiles(w.net) }) }

func BenchmarkWriteFD(b *testing.B) {
	benchmark(b, counts[:1], func(w *work) {
		_, err := scm.WriteFD(w.x, w.p, w.fds[0])
		must(err)
		_, fd, err := scm.ReadFD(w.y, w.p)
		must(err)
		must(unix.Close(fd))
	})
}

func BenchmarkSend(b *testing.B) {
	benchmark(b, counts, func(w *work) {
		must(scm.Send(w.x, &w.out, 0))
		must(scm.Recv(w.y, &w.in, 0))
		w.in.Close()
	})
}

func BenchmarkConnSend(b *testing.B) {
	benchmark(b, counts, func(w *work) {
		must(w.a.Send(&w.out, 0))
		must(w.b.Recv(&w.in, 0))
		w.in.Close()
	})
}

func BenchmarkConnWriteFiles(b *testing.B) {
	benchmark(b, counts, func(w *work) {
		_, err := w.a.WriteFiles(w.p, w.files...)
		must(err)
		_, files, err := w.b.ReadFiles(w.p, len(w.files))
		must(err)
		closeFiles(files)
	})
}

// xsys passes control data, and receives it into w.control.
func (w *work) xsys(control []byte) (n int) {
	must(unix.Sendmsg(w.x, w.p, control, nil, 0))
	_, n, _, _, err := unix.Recvmsg(w.y, w.p, w.control, unix.MSG_CMSG_CLOEXEC)
	must(err)
	return n
}

func (w *work) net(control []byte) (n int) {
	_, _, err := w.a.WriteMsgUnix(w.p, control, nil)
	must(err)
	_, n, _, _, err = w.b.ReadMsgUnix(w.p, w.control)
	must(err)
	return n
}

// pass builds and parses the control data that transfer passes, and returns the descriptors received.
func (w *work) pass(transfer func(control []byte) (n int)) []int {
	n := transfer(unix.UnixRights(w.fds...))
	messages, err := unix.ParseSocketControlMessage(w.control[:n])
	must(err)
	fds, err := unix.ParseUnixRights(&messages[0])
	must(err)
	return fds
}

func (w *work) passFDs(transfer func(control []byte) (n int)) {
	for _, fd := range w.pass(transfer) {
		must(unix.Close(fd))
	}
}

func (w *work) passFiles(transfer func(control []byte) (n int)) {
	for i, f := range w.files {
		w.fds[i] = int(f.Fd())
	}
	fds := w.pass(transfer)
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), "-")
	}
	closeFiles(files)
}
