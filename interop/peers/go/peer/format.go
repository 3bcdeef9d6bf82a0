//go:build linux

package peer

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

const (
	unsupported = "unsupported"
	maxText     = 1000 // of the text of an error: enough to recognize it, and short enough for a line
)

// formatHello returns the answer to hello.
func formatHello(lib Library) string {
	s := fmt.Sprintf("ok name=%s lang=go version=%s can=%s", lib.Name, lib.Version, lib.Can)
	if lib.Room != "" {
		s += " room=" + lib.Room
	}
	if lib.Polls {
		s += " polls=yes"
	}
	if lib.GC {
		s += " gc=yes"
	}
	if lib.Closes {
		s += " closes=yes"
	}
	return s
}

// formatReceived returns the answer to recv. If the payload is long, the answer says whether it
// equals the pattern that begins at byte at.
func formatReceived(got Received, at int) string {
	s := fmt.Sprintf("ok n=%d payload=%s fds=%s", got.N, contract.FormatPayload(got.Payload, at), formatFDs(got))
	if got.HasFlags {
		s += " flags=" + FormatFlags(got.Flags)
	}
	if got.EOF {
		s += " eof"
	}
	return s
}

// FormatFDs formats a list of descriptors for use in an answer.
func FormatFDs(fds []int) string { return formatFDs(Received{FDs: fds}) }

func formatFDs(got Received) string {
	var list []string
	for _, fd := range got.FDs {
		list = append(list, strconv.Itoa(fd))
	}
	switch {
	case got.Closed > 0:
		list = append(list, "closed:"+strconv.Itoa(got.Closed))
	case got.Closed == Uncounted:
		list = append(list, "closed")
	}
	return contract.List(list)
}

// messageFlags are the flags that a command or an answer can have.
var messageFlags = map[string]int{
	"ctrunc":   unix.MSG_CTRUNC,
	"dontwait": unix.MSG_DONTWAIT,
	"eor":      unix.MSG_EOR,
	"more":     unix.MSG_MORE,
	"nosignal": unix.MSG_NOSIGNAL,
	"oob":      unix.MSG_OOB,
	"peek":     unix.MSG_PEEK,
	"trunc":    unix.MSG_TRUNC,
	"waitall":  unix.MSG_WAITALL,
}

// FormatFlags formats the msg_flags of a received message as the value of flags= in an answer.
func FormatFlags(flags int) string {
	flags &^= unix.MSG_CMSG_CLOEXEC
	var list []string
	for _, name := range []string{"ctrunc", "trunc", "eor", "oob"} {
		if bit := messageFlags[name]; flags&bit != 0 {
			list = append(list, name)
			flags &^= bit
		}
	}
	if flags != 0 {
		list = append(list, fmt.Sprintf("0x%x", flags))
	}
	return contract.List(list)
}

// FormatError returns the answer for a failed call. If err wraps ErrUnsupported, the answer
// is "unsupported". If err wraps an errno, the answer names the errno. Otherwise it contains
// the text of err.
func FormatError(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, ErrUnsupported):
		return unsupported
	case errors.As(err, &errno):
		return "err " + contract.ErrnoName(strconv.Itoa(int(errno)))
	}
	text := err.Error()
	return "err lib " + contract.ASCII(text[:min(len(text), maxText)])
}
