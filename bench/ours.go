//go:build linux && cgo

package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"golang.org/x/sys/unix"
)

// ours are the ways of scm. Each sends and receives one message.
func ours() []way {
	return []way{
		{"WriteFD, ReadFD", single, func(p pair, _ int) pass {
			out, in := make([]byte, 1), make([]byte, 1)
			return func() error {
				if _, err := scm.WriteFD(p.a, out, p.cargo); err != nil {
					return err
				}
				_, fd, err := scm.ReadFD(p.b, in)
				if err != nil {
					return err
				}
				return unix.Close(fd)
			}
		}},
		{"Send, Recv", any, func(p pair, count int) pass {
			out, in := oneByte(), oneByte()
			sent, room := slices.Repeat([]int{p.cargo}, count), make([]int, count)
			return func() error {
				if err := scm.Send(p.a, &scm.Message{Buffers: out, FDs: sent}, 0); err != nil {
					return err
				}
				m := scm.Message{Buffers: in, FDs: room}
				if err := scm.Recv(p.b, &m, 0); err != nil {
					return err
				}
				return closeAll(m.FDs[:m.NFD])
			}
		}},
		{"Conn.Send, Conn.Recv", any, func(p pair, count int) pass {
			a, b := scmConn(p.a), scmConn(p.b)
			out := scm.Message{Buffers: oneByte(), FDs: slices.Repeat([]int{p.cargo}, count)}
			in := scm.Message{Buffers: oneByte(), FDs: make([]int, count)}
			return func() error {
				if err := a.Send(&out, 0); err != nil {
					return err
				}
				if err := b.Recv(&in, 0); err != nil {
					return err
				}
				return closeAll(in.FDs[:in.NFD])
			}
		}},
		{"Conn.WriteFiles, Conn.ReadFiles", any, func(p pair, count int) pass {
			a, b := scmConn(p.a), scmConn(p.b)
			cargo := file(p.cargo)
			out, in := make([]byte, 1), make([]byte, 1)
			files := slices.Repeat([]*os.File{cargo}, count)
			return func() error {
				if _, err := a.WriteFiles(out, files...); err != nil {
					return err
				}
				_, got, err := b.ReadFiles(in, count)
				if err != nil {
					return err
				}
				for _, f := range got {
					if err := f.Close(); err != nil {
						return err
					}
				}
				return nil
			}
		}},
		{"SendBatch, RecvBatch (16 messages)", batched, func(p pair, _ int) pass {
			const batch = 16
			out, in := make([]scm.Message, batch), make([]scm.Message, batch)
			for i := range batch {
				out[i] = scm.Message{Buffers: oneByte(), FDs: []int{p.cargo}}
				in[i] = scm.Message{Buffers: oneByte(), FDs: make([]int, 1)}
			}
			return func() error {
				if n, err := scm.SendBatch(p.a, out, 0); err != nil || n != batch {
					return fmt.Errorf("%d sent: %w", n, err)
				}
				n, err := scm.RecvBatch(p.b, in, 0)
				if err != nil || n != batch {
					return fmt.Errorf("%d received: %w", n, err)
				}
				for i := range in {
					if err := closeAll(in[i].FDs[:in[i].NFD]); err != nil {
						return err
					}
				}
				return nil
			}
		}},
		{"fdchannel", bare, func(p pair, _ int) pass {
			return endpoints(p.cargo, fdchannel.NewEndpoint(p.a), fdchannel.NewEndpoint(p.b))
		}},
	}
}

// scmConn is a Conn of a duplicate of a socket.
func scmConn(fd int) *scm.Conn { return must(scm.NewConnFD(duplicate(fd))) }

func oneByte() [][]byte { return [][]byte{make([]byte, 1)} }

func closeAll(fds []int) error {
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}
