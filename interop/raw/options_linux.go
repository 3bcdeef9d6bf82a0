package raw

import (
	"fmt"
	"slices"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

// Options of asm-generic/socket.h that are younger than the oldest x/sys that does, or not in any.
const (
	SOPassRights    = 83
	SOInq           = 84
	soRightsNotrunc = 85
)

// options are the numbers of contract.Options.
var options = [...]int{unix.SO_ACCEPTCONN, unix.SO_ERROR, SOInq, unix.SO_OOBINLINE, unix.SO_PASSCRED, unix.SO_PASSPIDFD,
	SOPassRights, unix.SO_PASSSEC, unix.SO_PEEK_OFF, unix.SO_RCVBUF, unix.SO_RCVLOWAT, unix.SO_RCVTIMEO, unix.SO_REUSEADDR,
	soRightsNotrunc, unix.SO_SNDBUF, unix.SO_SNDTIMEO, unix.SO_TIMESTAMP, unix.SO_TYPE}

func findOption(name string) (number int, isTime bool, err error) {
	i := slices.Index(contract.Options, name)
	if i < 0 {
		return 0, false, fmt.Errorf("no socket option %q", name)
	}
	return options[i], options[i] == unix.SO_RCVTIMEO || options[i] == unix.SO_SNDTIMEO, nil
}

// SetOption sets a socket option by its name. A time is in milliseconds.
func SetOption(sock int, name string, value int) error {
	number, isTime, err := findOption(name)
	switch {
	case err != nil:
		return err
	case isTime:
		tv := unix.NsecToTimeval((time.Duration(value) * time.Millisecond).Nanoseconds())
		return unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, number, &tv)
	}
	return unix.SetsockoptInt(sock, unix.SOL_SOCKET, number, value)
}

// GetOption returns the value of a socket option.
func GetOption(sock int, name string) (int, error) {
	number, isTime, err := findOption(name)
	switch {
	case err != nil:
		return 0, err
	case isTime:
		tv, err := unix.GetsockoptTimeval(sock, unix.SOL_SOCKET, number)
		if err != nil {
			return 0, err
		}
		return int(time.Duration(tv.Nano()) / time.Millisecond), nil
	}
	return unix.GetsockoptInt(sock, unix.SOL_SOCKET, number)
}

// Shutdowns are the ways of shutdown(2).
var Shutdowns = contract.BitsOf("shutdown how", unix.SHUT_RD, unix.SHUT_WR, unix.SHUT_RDWR)
