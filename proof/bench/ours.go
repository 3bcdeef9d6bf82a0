//go:build linux && cgo

package main

import (
	"os"
	"slices"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/framed"
	"golang.org/x/sys/unix"
)

// ours returns the ways of scm.
func ours() []way {
	ways := []way{
		{"WriteFD, ReadFD", single, func(s sockets, l load) func() {
			out, in := make([]byte, l.payload), make([]byte, l.payload)
			return func() {
				must(scm.WriteFD(s.a, out, s.cargo))
				_, fd, err := scm.ReadFD(s.b, in)
				check(err)
				check(unix.Close(fd))
			}
		}},
		{"Send, Recv", curved, func(s sockets, l load) func() {
			out, in := l.message(s.cargo)
			return func() {
				check(scm.Send(s.a, &out, 0))
				check(scm.Recv(s.b, &in, 0))
				in.Close()
			}
		}},
		{"Conn.Send, Conn.Recv", any, func(s sockets, l load) func() {
			a, b := scmConn(s.a), scmConn(s.b)
			out, in := l.message(s.cargo)
			return func() {
				check(a.Send(&out, 0))
				check(b.Recv(&in, 0))
				in.Close()
			}
		}},
		{"Conn.WriteFiles, Conn.ReadFiles", any, func(s sockets, l load) func() {
			a, b := scmConn(s.a), scmConn(s.b)
			out, in := make([]byte, l.payload), make([]byte, l.payload)
			files := slices.Repeat([]*os.File{file(s.cargo)}, l.count)
			return func() {
				must(a.WriteFiles(out, files...))
				_, got, err := b.ReadFiles(in, l.count)
				check(err)
				closeFiles(got)
			}
		}},
		{"framed.Writer, framed.Reader", stream, func(s sockets, _ load) func() {
			w, r := framed.NewWriter(scmConn(s.a)), framed.NewReader(scmConn(s.b), framed.Limits{})
			cargo, out, in := file(s.cargo), make([]byte, 1), make([]byte, 1)
			return func() {
				check(w.Attach(cargo))
				must(w.Write(out))
				must(r.Read(in))
				closeFiles(must(r.Take(1)))
			}
		}},
		{"fdchannel", bare, func(s sockets, _ load) func() {
			return endpoints(s.cargo, fdchannel.NewEndpoint(s.a), fdchannel.NewEndpoint(s.b))
		}},
	}
	for i := range ways {
		ways[i].name = "scm " + scm.Backend + ": " + ways[i].name
	}
	return ways
}

// message returns a message to send, and one to receive it.
func (l load) message(cargo int) (out, in scm.Message) {
	return scm.Message{Buffers: [][]byte{make([]byte, l.payload)}, FDs: slices.Repeat([]int{cargo}, l.count)},
		scm.Message{Buffers: [][]byte{make([]byte, l.payload)}, FDs: make([]int, l.count)}
}

// scmConn returns a Conn for a duplicate of a socket.
func scmConn(fd int) *scm.Conn { return must(scm.NewConnFD(duplicate(fd))) }

func closeFiles(files []*os.File) {
	for _, f := range files {
		check(f.Close())
	}
}
