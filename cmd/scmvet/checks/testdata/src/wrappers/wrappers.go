// Package wrappers has functions that receive, parse, close and use descriptors, for package wrapped.
package wrappers

import "golang.org/x/sys/unix"

// Receive drops the flags.
func Receive(sock int, p, oob []byte) (n, oobn int, err error) {
	n, oobn, _, _, err = unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC)
	return n, oobn, err
}

// ReceiveAll returns the flags.
func ReceiveAll(sock int, p, oob []byte) (n, oobn, flags int, err error) {
	n, oobn, flags, _, err = unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC)
	return n, oobn, flags, err
}

// Parse returns descriptors.
func Parse(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, unix.EAGAIN
	}
	return unix.ParseUnixRights(&messages[0])
}

// Look leaves a descriptor open.
func Look(fd int) error {
	if fd < 3 {
		return unix.EAGAIN
	}
	return unix.SetNonblock(fd, true)
}

// Close closes descriptors.
func Close(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// Table holds descriptors that a caller must not close.
type Table struct{ byName map[string]int }

// Get returns a descriptor that stays in the table.
func (t *Table) Get(name string, oob []byte) (int, error) {
	if fd, ok := t.byName[name]; ok {
		return fd, nil
	}
	fds, err := Parse(oob)
	if err != nil {
		return -1, err
	}
	if len(fds) != 1 {
		Close(fds)
		return -1, unix.EAGAIN
	}
	fd := fds[0]
	t.byName[name] = fd
	return fd, nil
}
