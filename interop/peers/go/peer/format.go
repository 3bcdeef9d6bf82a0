//go:build linux

package peer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	unsupported = "unsupported"
	maxHex      = 4096 // longer payloads are reported as the pattern
	maxText     = 1000 // of a library's error: enough to know it by, and no line grows too long
)

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
	return s
}

func formatReceived(got Received, at int) string {
	s := fmt.Sprintf("ok n=%d payload=%s fds=%s", got.N, formatPayload(got.Payload, at), formatFDs(got))
	if got.HasFlags {
		s += " flags=" + formatFlags(got.Flags)
	}
	if got.EOF {
		s += " eof"
	}
	return s
}

func formatPayload(p []byte, at int) string {
	switch {
	case len(p) == 0:
		return "-"
	case len(p) <= maxHex:
		return hex.EncodeToString(p)
	}
	for i, b := range p {
		if b != pattern(at, i) {
			return "!" + strconv.Itoa(i)
		}
	}
	return "@" + strconv.Itoa(len(p))
}

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
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

func formatFlags(flags int) string {
	named := []struct {
		name string
		bit  int
	}{
		{"ctrunc", unix.MSG_CTRUNC},
		{"trunc", unix.MSG_TRUNC},
		{"eor", unix.MSG_EOR},
		{"oob", unix.MSG_OOB},
	}
	flags &^= unix.MSG_CMSG_CLOEXEC
	var list []string
	for _, f := range named {
		if flags&f.bit != 0 {
			list = append(list, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		list = append(list, fmt.Sprintf("0x%x", flags))
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

// formatError returns the errno where there is one, whatever is wrapped around it.
func formatError(err error) string {
	if errors.Is(err, ErrUnsupported) {
		return unsupported
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return "err lib " + formatText(err.Error())
	}
	// x/sys calls it ENOTSUP, which is no name that a socket's manual has.
	if errno == unix.EOPNOTSUPP {
		return "err EOPNOTSUPP"
	}
	if name := unix.ErrnoName(errno); name != "" {
		return "err " + name
	}
	return "err " + strconv.Itoa(int(errno))
}

// formatText keeps an answer to one line of ASCII.
func formatText(text string) string {
	text = text[:min(len(text), maxText)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
