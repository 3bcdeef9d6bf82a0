//go:build linux && cgo

package main

import (
	"context"
	"errors"

	"github.com/mdlayher/socket"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/fdchannel"
)

var errNothing = errors.New("not what was sent")

// others are the ways of other libraries, each as its documentation has it.
func others() []way {
	return []way{
		{"x/sys", any, func(p pair, count int) (pass, error) {
			out, in, oob := make([]byte, 1), make([]byte, 1), make([]byte, unix.CmsgSpace(4*count))
			sent := repeated(p.cargo, count)
			return func() error {
				if err := unix.Sendmsg(p.a, out, unix.UnixRights(sent...), nil, 0); err != nil {
					return err
				}
				_, n, _, _, err := unix.Recvmsg(p.b, in, oob, unix.MSG_CMSG_CLOEXEC)
				if err != nil {
					return err
				}
				return closeRights(oob[:n])
			}, nil
		}},
		{"net.UnixConn", any, func(p pair, count int) (pass, error) {
			a, err := conn(p.a)
			if err != nil {
				return nil, err
			}
			b, err := conn(p.b)
			if err != nil {
				return nil, err
			}
			out, in, oob := make([]byte, 1), make([]byte, 1), make([]byte, unix.CmsgSpace(4*count))
			sent := repeated(p.cargo, count)
			return func() error {
				if _, _, err := a.WriteMsgUnix(out, unix.UnixRights(sent...), nil); err != nil {
					return err
				}
				_, n, _, _, err := b.ReadMsgUnix(in, oob)
				if err != nil {
					return err
				}
				return closeRights(oob[:n])
			}, nil
		}},
		{"mdlayher/socket", any, func(p pair, count int) (pass, error) {
			var two [2]*socket.Conn
			for i, fd := range []int{p.a, p.b} {
				n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					return nil, err
				}
				if two[i], err = socket.New(n, "bench"); err != nil {
					return nil, err
				}
			}
			ctx := context.Background()
			out, in, oob := make([]byte, 1), make([]byte, 1), make([]byte, unix.CmsgSpace(4*count))
			sent := repeated(p.cargo, count)
			return func() error {
				if _, err := two[0].Sendmsg(ctx, out, unix.UnixRights(sent...), nil, 0); err != nil {
					return err
				}
				_, n, _, _, err := two[1].Recvmsg(ctx, in, oob, unix.MSG_CMSG_CLOEXEC)
				if err != nil {
					return err
				}
				return closeRights(oob[:n])
			}, nil
		}},
		{"runc SendFile, RecvFile", single, func(p pair, _ int) (pass, error) {
			a, err := file(p.a)
			if err != nil {
				return nil, err
			}
			b, err := file(p.b)
			if err != nil {
				return nil, err
			}
			cargo, err := file(p.cargo) // its name, "-", is the payload
			if err != nil {
				return nil, err
			}
			return func() error {
				if err := utils.SendFile(a, cargo); err != nil {
					return err
				}
				f, err := utils.RecvFile(b)
				if err != nil {
					return err
				}
				return f.Close()
			}, nil
		}},
		{"gVisor fdchannel", bare, func(p pair, _ int) (pass, error) {
			a, b := fdchannel.NewEndpoint(p.a), fdchannel.NewEndpoint(p.b)
			return func() error {
				if err := a.SendFD(p.cargo); err != nil {
					return err
				}
				fd, err := b.RecvFD()
				if err != nil {
					return err
				}
				return unix.Close(fd)
			}, nil
		}},
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
