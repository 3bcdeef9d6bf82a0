//go:build !linux

package sys

import (
	"errors"
	"os"
)

const (
	OptionPassCred = iota
	OptionPassPIDFD
	OptionPassRights
)

func SetOption(_, _ int, _ bool) error {
	return os.NewSyscallError("setsockopt", errors.ErrUnsupported)
}

func asksForControl(int) bool { return false }

func PeerPIDFD(int) (int, error) {
	return -1, os.NewSyscallError("getsockopt", errors.ErrUnsupported)
}

func OwnPIDFDID() (id uint64, ok bool) { return 0, false }
