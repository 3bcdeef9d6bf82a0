package scm

// PeerCred is [PeerCred] of the Conn's socket. For a Listener it can be asked in
// [Config].Check, before anybody uses the connection.
func (c *Conn) PeerCred() (cred Cred, err error) {
	cred = Cred{0, -1, -1}
	err = c.identity("get", func(fd int) error {
		cred, err = PeerCred(fd)
		return err
	})
	return cred, err
}

// PeerPIDFD is [PeerPIDFD] of the Conn's socket.
func (c *Conn) PeerPIDFD() (pidfd int, err error) {
	pidfd = -1
	err = c.identity("get", func(fd int) error {
		pidfd, err = PeerPIDFD(fd)
		return err
	})
	return pidfd, err
}

// PassCred is [PassCred] of the Conn's socket.
func (c *Conn) PassCred(on bool) error {
	return c.identity("set", func(fd int) error { return PassCred(fd, on) })
}

// PassPIDFD is [PassPIDFD] of the Conn's socket.
func (c *Conn) PassPIDFD(on bool) error {
	return c.identity("set", func(fd int) error { return PassPIDFD(fd, on) })
}

// PassRights is [PassRights] of the Conn's socket. [Config].NoFiles turns it off
// from the start.
func (c *Conn) PassRights(on bool) error {
	return c.identity("set", func(fd int) error { return PassRights(fd, on) })
}

// RecvExpect is [Conn.Recv], held to what is expected as by [Expect.Recv]: nil is
// returned only for a message that is as e says. Errors are those of Conn.Recv,
// and [*ExpectError], for a message whose descriptors are all closed.
func (c *Conn) RecvExpect(e Expect, m *Message, flags int) error {
	if err := c.Recv(m, flags); err != nil {
		return err
	}
	return e.hold(m)
}

// identity calls f with the socket's number, which stays open meanwhile.
func (c *Conn) identity(op string, f func(fd int) error) error {
	err := c.usable()
	if err == nil {
		err = control(c.raw, f)
	}
	return c.fail(op, err)
}
