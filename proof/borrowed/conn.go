//go:build linux

// Package borrowed has functions of net and golang.org/x/sys/unix that call package scm, so that run.sh can run
// the tests of these packages with scm. They have no addresses, and fail if scm cannot express the control data.
package borrowed

import (
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// count appends a letter to the file that run.sh has open as 200, as preload does.
func count(letter string) {
	if _, err := unix.Write(200, []byte(letter)); err != nil {
		panic(err)
	}
}

func send(buffers [][]byte, oob []byte, with func(*scm.Message) error) (n int, err error) {
	m := &scm.Message{Buffers: buffers}
	control, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, err
	}
	for _, c := range control {
		if fds, err := unix.ParseUnixRights(&c); err == nil && m.FDs == nil {
			m.FDs = fds
		} else if cred, err := unix.ParseUnixCredentials(&c); err == nil && m.Cred == nil {
			m.Cred = &scm.Cred{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
		} else {
			return 0, unix.EOPNOTSUPP
		}
	}
	count("S")
	err = with(m)
	return m.N, err
}

func receive(buffers [][]byte, oob []byte, with func(*scm.Message) error) (n, oobn, flags int, err error) {
	m := &scm.Message{Buffers: buffers, Cred: &scm.Cred{UID: -1}}
	if len(oob) == 0 {
		m.Cred = nil
	} else if len(oob) > unix.CmsgLen(0) {
		m.FDs = make([]int, min(scm.MaxFDs, (len(oob)-unix.CmsgLen(0))/4))
	}
	count("R")
	if err := with(m); err != nil {
		return 0, 0, 0, err
	}
	var control []byte
	if m.Cred != nil && m.Cred.UID >= 0 {
		control = unix.UnixCredentials(&unix.Ucred{Pid: int32(m.Cred.PID), Uid: uint32(m.Cred.UID), Gid: uint32(m.Cred.GID)})
	}
	if m.NFD > 0 {
		control = append(control, unix.UnixRights(m.FDs[:m.NFD]...)...)
	}
	if len(control) > len(oob) {
		m.Close()
		return 0, 0, 0, unix.EOPNOTSUPP
	}
	return m.N, copy(oob, control), m.Flags, nil
}

// SendmsgBuffers calls scm.Send.
func SendmsgBuffers(fd int, buffers [][]byte, oob []byte, _ unix.Sockaddr, flags int) (n int, err error) {
	return send(buffers, oob, func(m *scm.Message) error { return scm.Send(fd, m, flags) })
}

// RecvmsgBuffers calls scm.Recv.
func RecvmsgBuffers(fd int, buffers [][]byte, oob []byte, flags int) (n, oobn, recvflags int, _ unix.Sockaddr, err error) {
	n, oobn, recvflags, err = receive(buffers, oob, func(m *scm.Message) error { return scm.Recv(fd, m, flags) })
	return
}

// A UnixConn replaces methods of a net.UnixConn.
type UnixConn struct{ *scm.Conn }

// FileConn returns a *UnixConn.
func FileConn(f *os.File) (net.Conn, error) {
	c, err := scm.NewConnFile(f)
	return &UnixConn{c}, err
}

// buffers returns p, or on a stream, as package net does, one byte for control data if p is empty.
func (c *UnixConn) buffers(p, oob []byte) [][]byte {
	if len(p) == 0 && len(oob) > 0 && c.LocalAddr().Network() == "unix" {
		p = make([]byte, 1)
	}
	return [][]byte{p}
}

// WriteMsgUnix calls Send.
func (c *UnixConn) WriteMsgUnix(p, oob []byte, _ *net.UnixAddr) (n, oobn int, err error) {
	n, err = send(c.buffers(p, oob), oob, func(m *scm.Message) error { return c.Send(m, 0) })
	return min(n, len(p)), len(oob), err
}

// ReadMsgUnix calls Recv.
func (c *UnixConn) ReadMsgUnix(p, oob []byte) (n, oobn, flags int, _ *net.UnixAddr, err error) {
	n, oobn, flags, err = receive(c.buffers(p, oob), oob, func(m *scm.Message) error { return c.Recv(m, 0) })
	return
}
