//go:build !linux

package sys

func OwnPIDFDID() (id uint64, ok bool) { return 0, false }
