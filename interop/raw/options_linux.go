package raw

import (
	"fmt"
	"time"

	"github.com/scm-rights/scm/interop/kernel"
	"golang.org/x/sys/unix"
)

// Socket options from asm-generic/socket.h that the oldest supported version of x/sys does
// not define.
const (
	SOPassRights    = 83
	SOInq           = 84
	soRightsNotrunc = 85
)

// options are the constants of kernel.Options.
var options = map[string]int{
	"acceptconn":    unix.SO_ACCEPTCONN,
	"error":         unix.SO_ERROR,
	"inq":           SOInq,
	"keepalive":     unix.SO_KEEPALIVE,
	"oobinline":     unix.SO_OOBINLINE,
	"passcred":      unix.SO_PASSCRED,
	"passpidfd":     unix.SO_PASSPIDFD,
	"passrights":    SOPassRights,
	"passsec":       unix.SO_PASSSEC,
	"peekoff":       unix.SO_PEEK_OFF,
	"rcvbuf":        unix.SO_RCVBUF,
	"rcvlowat":      unix.SO_RCVLOWAT,
	"rcvtimeo":      unix.SO_RCVTIMEO,
	"reuseaddr":     unix.SO_REUSEADDR,
	"rightsnotrunc": soRightsNotrunc,
	"sndbuf":        unix.SO_SNDBUF,
	"sndtimeo":      unix.SO_SNDTIMEO,
	"timestamp":     unix.SO_TIMESTAMP,
	"type":          unix.SO_TYPE,
}

func findOption(name string) (constant int, isTime bool, err error) {
	option, ok := kernel.FindOption(name)
	if !ok {
		return 0, false, fmt.Errorf("no socket option %q", name)
	}
	return options[name], option.Milliseconds, nil
}

// SetOption sets a socket option, given its name in kernel.Options. If the value is a time,
// it is in milliseconds.
func SetOption(sock int, name string, value int) error {
	constant, isTime, err := findOption(name)
	switch {
	case err != nil:
		return err
	case isTime:
		tv := unix.NsecToTimeval((time.Duration(value) * time.Millisecond).Nanoseconds())
		return unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, constant, &tv)
	}
	return unix.SetsockoptInt(sock, unix.SOL_SOCKET, constant, value)
}

// GetOption returns the value of a socket option, given its name in kernel.Options. If the
// value is a time, it is in milliseconds.
func GetOption(sock int, name string) (int, error) {
	constant, isTime, err := findOption(name)
	switch {
	case err != nil:
		return 0, err
	case isTime:
		tv, err := unix.GetsockoptTimeval(sock, unix.SOL_SOCKET, constant)
		if err != nil {
			return 0, err
		}
		return int(time.Duration(tv.Nano()) / time.Millisecond), nil
	}
	return unix.GetsockoptInt(sock, unix.SOL_SOCKET, constant)
}

// Shutdowns contains the values of the second argument of shutdown(2).
var Shutdowns = kernel.BitsOf("shutdown how", map[string]int{
	"rd":   unix.SHUT_RD,
	"wr":   unix.SHUT_WR,
	"rdwr": unix.SHUT_RDWR,
})
