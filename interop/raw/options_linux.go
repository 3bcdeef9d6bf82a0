package raw

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// soRightsNotrunc is SO_RIGHTS_NOTRUNC of asm-generic/socket.h, and not in x/sys.
const soRightsNotrunc = 85

// An Option is a socket option by name.
type Option struct {
	option int
	time   bool // its value is a timeval, here in milliseconds
}

var options = map[string]Option{
	"passcred":      {option: unix.SO_PASSCRED},
	"passpidfd":     {option: unix.SO_PASSPIDFD},
	"passsec":       {option: unix.SO_PASSSEC},
	"passrights":    {option: unix.SO_PASSRIGHTS},
	"rightsnotrunc": {option: soRightsNotrunc},
	"inq":           {option: unix.SO_INQ},
	"timestamp":     {option: unix.SO_TIMESTAMP},
	"oobinline":     {option: unix.SO_OOBINLINE},
	"peekoff":       {option: unix.SO_PEEK_OFF},
	"rcvlowat":      {option: unix.SO_RCVLOWAT},
	"rcvbuf":        {option: unix.SO_RCVBUF},
	"sndbuf":        {option: unix.SO_SNDBUF},
	"reuseaddr":     {option: unix.SO_REUSEADDR},
	"acceptconn":    {option: unix.SO_ACCEPTCONN},
	"error":         {option: unix.SO_ERROR},
	"type":          {option: unix.SO_TYPE},
	"rcvtimeo":      {option: unix.SO_RCVTIMEO, time: true},
	"sndtimeo":      {option: unix.SO_SNDTIMEO, time: true},
}

// FindOption finds a socket option by its name.
func FindOption(name string) (Option, error) {
	o, ok := options[name]
	if !ok {
		return o, fmt.Errorf("no socket option %q", name)
	}
	return o, nil
}

// Set sets the option.
func (o Option) Set(sock, value int) error {
	if o.time {
		tv := unix.NsecToTimeval((time.Duration(value) * time.Millisecond).Nanoseconds())
		return unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, o.option, &tv)
	}
	return unix.SetsockoptInt(sock, unix.SOL_SOCKET, o.option, value)
}

// Get returns the option's value.
func (o Option) Get(sock int) (int, error) {
	if o.time {
		tv, err := unix.GetsockoptTimeval(sock, unix.SOL_SOCKET, o.option)
		if err != nil {
			return 0, err
		}
		return int(time.Duration(tv.Nano()) / time.Millisecond), nil
	}
	return unix.GetsockoptInt(sock, unix.SOL_SOCKET, o.option)
}

var signals = []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGKILL, unix.SIGSTOP, unix.SIGCONT, unix.SIGTERM}

// FindSignal finds a signal by its name.
func FindSignal(name string) (unix.Signal, error) {
	i := slices.IndexFunc(signals, func(s unix.Signal) bool { return unix.SignalName(s) == strings.ToUpper(name) })
	if i < 0 {
		return 0, fmt.Errorf("no signal %q", name)
	}
	return signals[i], nil
}

// Shutdowns are the ways of shutdown(2).
var Shutdowns = map[string]int{"rd": unix.SHUT_RD, "wr": unix.SHUT_WR, "rdwr": unix.SHUT_RDWR}
