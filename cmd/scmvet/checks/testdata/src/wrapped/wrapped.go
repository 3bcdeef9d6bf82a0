// Package wrapped passes descriptors with the functions of another package.
package wrapped

import (
	"errors"

	"golang.org/x/sys/unix"

	"wrappers"
)

var errBad = errors.New("bad message")

func dropped(sock int, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	n, oobn, err := wrappers.Receive(sock, p, oob) // want `nothing reads the flags of this receive`
	if err != nil {
		return nil, err
	}
	if n < 4 {
		return nil, errBad // want `this return leaks the descriptors from line 16`
	}
	return wrappers.Parse(oob[:oobn])
}

func ignored(sock int, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	_, oobn, _, err := wrappers.ReceiveAll(sock, p, oob) // want `nothing reads the flags of this receive`
	if err != nil {
		return nil, err
	}
	return wrappers.Parse(oob[:oobn])
}

func read(sock int, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	_, oobn, flags, err := wrappers.ReceiveAll(sock, p, oob)
	if err != nil {
		return nil, err
	}
	fds, err := wrappers.Parse(oob[:oobn])
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		wrappers.Close(fds)
		return nil, errBad
	}
	return fds, err
}

func looked(oob []byte) (int, error) {
	fds, err := wrappers.Parse(oob)
	if err != nil {
		return -1, err
	}
	if len(fds) != 1 {
		wrappers.Close(fds)
		return -1, errBad
	}
	fd := fds[0]
	if err := wrappers.Look(fd); err != nil {
		return -1, err // want `this return leaks the descriptors from line 50`
	}
	return fd, nil
}

func first(oob []byte) (int, error) {
	fds, err := wrappers.Parse(oob)
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	return fds[0], nil // want `nothing checks len\(fds\)`
}

func whole(sock int, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	_, oobn, flags, err := wrappers.ReceiveAll(sock, p, oob)
	if err != nil || oobn == 0 || flags != 0 {
		return nil, err // want `this return leaks`
	}
	return wrappers.Parse(oob) // want `the whole control buffer is parsed`
}

func shared(t *wrappers.Table, oob []byte) error {
	fd, err := t.Get("name", oob)
	if err != nil {
		return err
	}
	return wrappers.Look(fd)
}

// A struct has the descriptors.
type message struct {
	fds  []int
	text string
}

func inStruct(oob []byte, text string) (*message, error) {
	m := &message{}
	fds, err := wrappers.Parse(oob)
	if err != nil {
		return nil, err
	}
	m.fds = fds
	if m.text = text; text == "" {
		return nil, errBad // want `this return leaks the descriptors from line 98`
	}
	return m, nil
}

func made(oob []byte) error {
	m, err := inStruct(oob, "text")
	if err != nil {
		return err
	}
	if m.text != "text" {
		return errBad // want `this return leaks the descriptors from line 110`
	}
	wrappers.Close(m.fds)
	return nil
}
