//go:build linux && cgo

package main

import (
	"os"
	"slices"

	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/fdchannel"
)

// calls returns a library's functions to send and receive a message with a control buffer.
type calls func(s sockets) (send func(p, control []byte) error, recv func(p, control []byte) (n int, err error))

func xsys(s sockets) (func(p, control []byte) error, func(p, control []byte) (int, error)) {
	return func(out, control []byte) error { return unix.Sendmsg(s.a, out, control, nil, 0) },
		func(in, control []byte) (int, error) {
			_, n, _, _, err := unix.Recvmsg(s.b, in, control, unix.MSG_CMSG_CLOEXEC)
			return n, err
		}
}

func packageNet(s sockets) (func(p, control []byte) error, func(p, control []byte) (int, error)) {
	a, b := conn(s.a), conn(s.b)
	return func(out, control []byte) error {
			_, _, err := a.WriteMsgUnix(out, control, nil)
			return err
		}, func(in, control []byte) (int, error) {
			_, n, _, _, err := b.ReadMsgUnix(in, control)
			return n, err
		}
}

// others returns the ways of other libraries, each used as its documentation describes.
func others() []way {
	return []way{
		{"x/sys", curved, calls(xsys).numbers},
		{"x/sys with os.NewFile", any, calls(xsys).files},
		{"net.UnixConn", curved, calls(packageNet).numbers},
		{"net.UnixConn with os.NewFile", any, calls(packageNet).files},
		{"runc SendFile, RecvFile", stream, func(s sockets, _ load) func() {
			a, b, cargo := file(s.a), file(s.b), file(s.cargo) // the payload is the file's name, "-"
			return func() {
				check(utils.SendFile(a, cargo))
				check(must(utils.RecvFile(b)).Close())
			}
		}},
		{"gVisor fdchannel", bare, func(s sockets, _ load) func() {
			return endpoints(s.cargo, fdchannel.NewEndpoint(s.a), fdchannel.NewEndpoint(s.b))
		}},
	}
}

// numbers passes descriptors as integers, and closes the received ones one by one.
func (c calls) numbers(s sockets, l load) func() {
	send, recv := c(s)
	out, in, control := make([]byte, l.payload), make([]byte, l.payload), make([]byte, unix.CmsgSpace(4*l.count))
	sent := slices.Repeat([]int{s.cargo}, l.count)
	return func() {
		check(send(out, unix.UnixRights(sent...)))
		messages := must(unix.ParseSocketControlMessage(control[:must(recv(in, control))]))
		fds := must(unix.ParseUnixRights(&messages[0]))
		for _, fd := range fds {
			check(unix.Close(fd))
		}
	}
}

// files passes files, and makes files from the received descriptors.
func (c calls) files(s sockets, l load) func() {
	send, recv := c(s)
	out, in, control := make([]byte, l.payload), make([]byte, l.payload), make([]byte, unix.CmsgSpace(4*l.count))
	files, sent := slices.Repeat([]*os.File{file(s.cargo)}, l.count), make([]int, l.count)
	return func() {
		for i, f := range files {
			sent[i] = int(f.Fd())
		}
		check(send(out, unix.UnixRights(sent...)))
		messages := must(unix.ParseSocketControlMessage(control[:must(recv(in, control))]))
		fds := must(unix.ParseUnixRights(&messages[0]))
		got := make([]*os.File, len(fds))
		for i, fd := range fds {
			got[i] = os.NewFile(uintptr(fd), "-")
		}
		closeFiles(got)
	}
}

// endpoints passes a descriptor through the interface of gVisor's fdchannel.
func endpoints(cargo int, a, b interface {
	SendFD(fd int) error
	RecvFD() (int, error)
}) func() {
	return func() {
		check(a.SendFD(cargo))
		check(unix.Close(must(b.RecvFD())))
	}
}
