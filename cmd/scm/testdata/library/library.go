package main

import "syscall"

// Package syscall adds a byte of payload to a message that has control data but no payload. This
// library therefore cannot send or receive descriptors without a payload.

func librarySend(sock int, payload []byte, fds []int) (n int, err error) {
	if len(fds) == 0 {
		return syscall.SendmsgN(sock, payload, nil, nil, 0)
	}
	if len(payload) == 0 {
		return 0, ErrUnsupported
	}
	return syscall.SendmsgN(sock, payload, syscall.UnixRights(fds...), nil, 0)
}

func libraryRecv(sock int, payload []byte, room int) (n int, fds []int, flags int, err error) {
	if len(payload) == 0 && room > 0 {
		return 0, nil, 0, ErrUnsupported
	}
	var control []byte
	if room > 0 {
		control = make([]byte, syscall.CmsgLen(4*room))
	}
	n, controlLen, flags, _, err := syscall.Recvmsg(sock, payload, control, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, nil, 0, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:controlLen])
	if err != nil {
		return 0, nil, 0, err
	}
	for _, m := range messages {
		pidfd := m.Header.Level == syscall.SOL_SOCKET && m.Header.Type == 4 // SCM_PIDFD
		if pidfd {
			m.Header.Type = syscall.SCM_RIGHTS // it has the same form
		}
		list, err := syscall.ParseUnixRights(&m)
		switch {
		case err != nil:
		case pidfd:
			syscall.Close(list[0])
		default:
			fds = append(fds, list...)
		}
	}
	return n, fds, flags, nil
}
