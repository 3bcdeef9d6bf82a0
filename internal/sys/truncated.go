package sys

import (
	"errors"
	"syscall"
)

// LostDescriptors reports whether err, an error of recvmsg(2), means that the kernel discarded the descriptors of a
// message, because the table was full, or with EPERM because a directory is outside the process's root. Linux sets
// MSG_CTRUNC instead.
func LostDescriptors(err error) bool {
	return !isLinux && (TableFull(err) || errors.Is(err, syscall.EPERM))
}

// TruncationCause returns why a message lost descriptors, for a receive from sock that returned received of
// at most capacity descriptors: EMSGSIZE if the message carried more, the error of dup if the descriptor table
// is full, or nil if the cause is not known. The received descriptors must still be open.
func TruncationCause(sock, received, capacity int) error {
	switch {
	case received == capacity && asksForControl(sock): // perhaps no descriptor was lost
		return nil
	case received == capacity:
		return EMSGSIZE
	}
	fd, err := Dup(sock, 0)
	if err == nil {
		Close(fd)
	}
	if !TableFull(err) { // a seccomp filter can reject dup
		return nil
	}
	return err
}
