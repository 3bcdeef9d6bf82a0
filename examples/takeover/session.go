//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
)

// state is everything that the successor needs in addition to the connection's descriptor.
type state struct {
	Sum       int64
	Unread    []byte // received from the client and not answered yet
	Unwritten []byte // the part of an answer that has not been sent yet
}

// A session is the conversation with one client.
type session struct {
	state
	conn net.Conn
	in   *bufio.Reader
}

// newSession continues a session. The zero state begins one.
func newSession(conn net.Conn, st state) *session {
	in := bufio.NewReader(io.MultiReader(bytes.NewReader(st.Unread), conn))
	_, _ = in.Peek(len(st.Unread)) // suspend finds unread bytes only in the buffer
	return &session{st, conn, in}
}

// serve answers the client until the client closes the connection or a deadline expires. After a deadline,
// the state is up to date.
func (s *session) serve() error {
	for {
		if len(s.Unwritten) > 0 {
			n, err := s.conn.Write(s.Unwritten)
			s.Unwritten = s.Unwritten[n:]
			if err != nil {
				s.suspend(nil)
				return err
			}
		}
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			s.suspend(line)
			return err
		}
		number, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
		if err != nil {
			return err
		}
		s.Sum += number
		s.Unwritten = fmt.Appendln(nil, s.Sum)
	}
}

// suspend saves the bytes that are no longer in the socket: the line that ReadSlice did not complete, and the
// bytes in the buffer.
func (s *session) suspend(line []byte) {
	buffered, _ := s.in.Peek(s.in.Buffered())
	s.Unread = slices.Concat(line, buffered)
}
