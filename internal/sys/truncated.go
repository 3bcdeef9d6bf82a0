package sys

// LostToFullTable reports whether err, an error of recvmsg(2), means that the descriptor table was full, so that the
// kernel discarded the descriptors of a message. Linux sets MSG_CTRUNC instead.
func LostToFullTable(err error) bool { return !isLinux && TableFull(err) }

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
