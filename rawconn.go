package scm

import (
	"os"
	"reflect"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// rawConn returns c.SyscallConn, or an error if c or its RawConn is nil. what names c in the error.
func rawConn(what string, c syscall.Conn) (syscall.RawConn, error) {
	if err := checkPresent(what, c); err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if raw == nil && err == nil {
		err = sys.Error("scm: "+what+" has no descriptor", os.ErrInvalid)
	}
	return raw, err
}

// checkPresent returns an error if c is nil, a nil pointer of any type, or a Conn or Listener without a
// socket. The methods of package net's connections panic on a nil pointer.
func checkPresent(what string, c any) error {
	if v := reflect.ValueOf(c); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nilError(what)
	}
	if own, ok := c.(interface{ checkLiteral(self any) error }); ok { // a Conn, a Listener, or a struct that embeds one
		return own.checkLiteral(c)
	}
	return nil
}

// unlinkOnClose calls the SetUnlinkOnClose method of a socket. Not every kind of socket has one, and some
// kinds have it only on some systems.
func unlinkOnClose(socket any, unlink bool) {
	if owner, ok := socket.(interface{ SetUnlinkOnClose(bool) }); ok {
		owner.SetUnlinkOnClose(unlink)
	}
}

// startSend makes Close leave the file of a socket in place, because the receiver may answer before the send
// has returned. If the send fails, end restores the setting, unless it cannot be read.
func startSend(socket syscall.Conn) (end func(sent bool)) {
	if _, err := rawConn("socket", socket); err != nil {
		return func(bool) {}
	}
	// a Conn, a Listener, or a struct that embeds one
	if own, ok := socket.(interface{ socketFile() (*socketFile, any) }); ok {
		if file, owner := own.socketFile(); file != nil && file.theirs == nil {
			file.startSend()
			return func(sent bool) { file.endSend(owner, sent) }
		}
	}
	unlinkOnClose(socket, false)
	return func(bool) {}
}
