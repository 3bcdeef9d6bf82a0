//go:build unix && !aix

package scm_test

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What a call sends or receives.
const (
	aMessage  = iota // with its flags: Recv reports the end of a connection, and truncation, only there
	someFiles        // with bytes
	oneFile          // and if there is none, receiving fails with ErrNoFile
	oneSocket        // the same
)

// A sendCall is a method of Conn that sends descriptors.
type sendCall struct {
	sends int
	// send sends one byte and f, which is an *os.File unless the call sends oneSocket.
	send func(c *scm.Conn, f syscall.Conn) error
}

// sending has a row for each method of Conn that sends descriptors, for the specs that test all of them.
var sending = map[string]sendCall{
	"Send": {aMessage, func(c *scm.Conn, f syscall.Conn) error {
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{FDOf(f)}, N: 7}
		err := c.Send(&m, 0)
		if err != nil {
			Expect(m.N).To(BeZero())
		}
		return err
	}},
	"WriteFiles": {someFiles, func(c *scm.Conn, f syscall.Conn) error {
		return Second(c.WriteFiles([]byte("x"), f.(*os.File)))
	}},
	"WriteBuffers": {someFiles, func(c *scm.Conn, f syscall.Conn) error {
		return Second(c.WriteBuffers([][]byte{nil, []byte("x")}, f.(*os.File)))
	}},
	"WriteFDs": {someFiles, func(c *scm.Conn, f syscall.Conn) error {
		return Second(c.WriteFDs([]byte("x"), FDOf(f)))
	}},
	"SendFile":     {oneFile, func(c *scm.Conn, f syscall.Conn) error { return c.SendFile("x", f.(*os.File)) }},
	"SendConn":     {oneSocket, func(c *scm.Conn, f syscall.Conn) error { return c.SendConn(fdtest.AsSocket(f)) }},
	"SendListener": {oneSocket, func(c *scm.Conn, f syscall.Conn) error { return c.SendListener(fdtest.AsSocket(f)) }},
}

// A receiveCall is a method of Conn that receives descriptors.
type receiveCall struct {
	receives int
	// receive receives into p, and at most max files. Calls that receive one file have no such arguments.
	receive func(c *scm.Conn, p []byte, max int) (n int, files []*os.File, err error)
}

// one receives a byte and at most one file, which it closes.
func (r receiveCall) one(c *scm.Conn) error { return r.atMost(c, 1) }

// atMost receives a byte and at most max files, which it closes.
func (r receiveCall) atMost(c *scm.Conn, max int) error {
	_, files, err := r.receive(c, make([]byte, 1), max)
	closeFiles(files)
	return err
}

// receiving has a row for each method of Conn that receives descriptors, for the specs that test all of them.
var receiving = map[string]receiveCall{
	"Recv": {aMessage, func(c *scm.Conn, p []byte, max int) (int, []*os.File, error) {
		return receiveMessage(c, [][]byte{p}, max)
	}},
	"ReadFiles": {someFiles, (*scm.Conn).ReadFiles},
	"ReadBuffers": {someFiles, func(c *scm.Conn, p []byte, max int) (int, []*os.File, error) {
		half := len(p) / 2
		return c.ReadBuffers([][]byte{p[:half], nil, p[half:]}, max)
	}},
	"ReadFDs": {someFiles, func(c *scm.Conn, p []byte, max int) (n int, files []*os.File, err error) {
		fds := slices.Repeat([]int{-7}, max)
		n, nfd, err := c.ReadFDs(p, fds)
		Expect(fds[nfd:]).To(Equal(slices.Repeat([]int{-7}, max-nfd)), "the rest is unchanged")
		for _, fd := range fds[:nfd] {
			files = append(files, ok(scm.NewFile(fd, "received")))
		}
		return n, files, err
	}},
	"RecvFile":     {oneFile, only((*scm.Conn).RecvFile)},
	"RecvConn":     {oneSocket, only((*scm.Conn).RecvConn)},
	"RecvListener": {oneSocket, only((*scm.Conn).RecvListener)},
}

// receiveMessage receives with Recv, and checks that it clears the results in the message if it fails.
func receiveMessage(c *scm.Conn, buffers [][]byte, max int) (n int, files []*os.File, err error) {
	GinkgoHelper()
	m := scm.Message{Buffers: buffers, FDs: make([]int, max), N: 7, NFD: 7, Flags: 7}
	if err = c.Recv(&m, 0); err == nil {
		files, err = m.Files()
	} else if !errors.As(err, new(*scm.ExpectError)) { // which is returned with the payload
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
	}
	return m.N, files, err
}

// only makes the receive of a receiveCall from a call that receives one file or socket.
func only[F io.Closer](receive func(c *scm.Conn) (F, error)) func(*scm.Conn, []byte, int) (int, []*os.File, error) {
	return func(c *scm.Conn, _ []byte, _ int) (int, []*os.File, error) {
		got, err := receive(c)
		if err != nil {
			return 0, nil, err
		}
		f, isFile := any(got).(*os.File)
		if !isFile {
			f = ok(any(got).(interface{ File() (*os.File, error) }).File())
			Expect(got.Close()).To(Succeed())
		}
		return 1, []*os.File{f}, nil
	}
}

var _ = It("sending and receiving have a row for each method of Conn, except for those that do neither or are package net's", func() {
	neither := []string{
		"NetConn", "PassCred", "PassPIDFD", "PassRights", "PeerCred", "PeerPIDFD", "SetUnlinkOnClose", "WithContext",
	}
	var methods []string
	for i := range reflect.TypeFor[*scm.Conn]().NumMethod() {
		name := reflect.TypeFor[*scm.Conn]().Method(i).Name
		if _, inherited := reflect.TypeFor[*net.UnixConn]().MethodByName(name); !inherited {
			methods = append(methods, name)
		}
	}
	rows := slices.AppendSeq(slices.Collect(maps.Keys(sending)), maps.Keys(receiving))
	Expect(methods).To(ConsistOf(append(rows, neither...)),
		"add a row to sending or receiving, or the name to neither")
})
