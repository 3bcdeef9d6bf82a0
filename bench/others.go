//go:build linux && cgo

package main

import (
	"context"
	"errors"
	"slices"

	"github.com/mdlayher/socket"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/fdchannel"
)

var errNothing = errors.New("not what was sent")

// others are the ways of other libraries, each as its documentation has it.
func others() []way {
	return []way{
		{"x/sys", any, func(p pair, count int) pass {
			return messages(p.cargo, count,
				func(out, control []byte) error { return unix.Sendmsg(p.a, out, control, nil, 0) },
				func(in, control []byte) (int, error) {
					_, n, _, _, err := unix.Recvmsg(p.b, in, control, unix.MSG_CMSG_CLOEXEC)
					return n, err
				})
		}},
		{"net.UnixConn", any, func(p pair, count int) pass {
			a, b := conn(p.a), conn(p.b)
			return messages(p.cargo, count,
				func(out, control []byte) error {
					_, _, err := a.WriteMsgUnix(out, control, nil)
					return err
				},
				func(in, control []byte) (int, error) {
					_, n, _, _, err := b.ReadMsgUnix(in, control)
					return n, err
				})
		}},
		{"mdlayher/socket", any, func(p pair, count int) pass {
			a, b := must(socket.New(duplicate(p.a), "bench")), must(socket.New(duplicate(p.b), "bench"))
			ctx := context.Background()
			return messages(p.cargo, count,
				func(out, control []byte) error {
					_, err := a.Sendmsg(ctx, out, control, nil, 0)
					return err
				},
				func(in, control []byte) (int, error) {
					_, n, _, _, err := b.Recvmsg(ctx, in, control, unix.MSG_CMSG_CLOEXEC)
					return n, err
				})
		}},
		{"runc SendFile, RecvFile", single, func(p pair, _ int) pass {
			a, b, cargo := file(p.a), file(p.b), file(p.cargo) // whose name, "-", is the payload
			return func() error {
				if err := utils.SendFile(a, cargo); err != nil {
					return err
				}
				f, err := utils.RecvFile(b)
				if err != nil {
					return err
				}
				return f.Close()
			}
		}},
		{"gVisor fdchannel", bare, func(p pair, _ int) pass {
			return endpoints(p.cargo, fdchannel.NewEndpoint(p.a), fdchannel.NewEndpoint(p.b))
		}},
	}
}

// messages passes a byte and so many descriptors by calls that have a control buffer.
func messages(cargo, count int, send func(p, control []byte) error, recv func(p, control []byte) (n int, err error)) pass {
	out, in, control := make([]byte, 1), make([]byte, 1), make([]byte, unix.CmsgSpace(4*count))
	sent := slices.Repeat([]int{cargo}, count)
	return func() error {
		if err := send(out, unix.UnixRights(sent...)); err != nil {
			return err
		}
		n, err := recv(in, control)
		if err != nil {
			return err
		}
		return closeRights(control[:n])
	}
}

// endpoints passes a descriptor by gVisor's interface.
func endpoints(cargo int, a, b interface {
	SendFD(fd int) error
	RecvFD() (int, error)
}) pass {
	return func() error {
		if err := a.SendFD(cargo); err != nil {
			return err
		}
		fd, err := b.RecvFD()
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}

// closeRights closes what a control buffer has.
func closeRights(control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	if len(messages) != 1 {
		return errNothing
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	return closeAll(fds)
}
