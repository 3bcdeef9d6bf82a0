//go:build linux

package main

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// socket sends and receives by the system calls, with the sins of a library.
type socket struct {
	fd   int
	sin  string
	last []int // received last
}

func (s *socket) Send(m peer.Message) (int, error) {
	fds := m.FDs
	if s.sin == "reopen" {
		fds = reopened(m.FDs)
		defer closeOthers(fds, m.FDs)
	}
	var control []byte
	if len(fds) > 0 {
		control = unix.UnixRights(fds...)
		if s.sin == "length" {
			header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
			header.SetLen(unix.CmsgLen(4 * (len(fds) - 1)))
		}
	}
	n, _, err := message(unix.SYS_SENDMSG, s.fd, m.Buffers, control, m.Flags)
	return n, err
}

func (s *socket) Recv(r peer.Room) (peer.Received, error) {
	room, flags := r.FDs, r.Flags|unix.MSG_CMSG_CLOEXEC
	switch s.sin {
	case "leak":
		room++
	case "cloexec":
		flags = r.Flags
	}
	var control []byte
	if room > 0 {
		control = make([]byte, unix.CmsgLen(4*room))
	}
	n, h, err := message(unix.SYS_RECVMSG, s.fd, r.Buffers, control, flags)
	if err != nil {
		return peer.Received{}, err
	}
	got := peer.Received{N: n, Payload: r.Filled(n), HasFlags: true, Flags: int(h.Flags)}
	if got.FDs, err = descriptors(control[:h.Controllen]); err != nil {
		return got, err
	}

	switch {
	case s.sin == "leak" && len(got.FDs) > r.FDs:
		got.FDs = got.FDs[:r.FDs]
		got.Flags |= unix.MSG_CTRUNC
	case s.sin == "dup" && len(got.FDs) > 0:
		_, err = unix.FcntlInt(uintptr(got.FDs[0]), unix.F_DUPFD_CLOEXEC, 0)
	case s.sin == "stale" && len(got.FDs) == 0 && r.FDs > 0:
		got.FDs = s.last[:min(len(s.last), r.FDs)]
	case s.sin == "swap":
		slices.Reverse(got.FDs)
	}
	s.last = got.FDs
	return got, err
}

// message makes the one system call, and returns the msghdr as the kernel left it.
func message(trap uintptr, sock int, buffers [][]byte, control []byte, flags int) (int, unix.Msghdr, error) {
	iov := make([]unix.Iovec, len(buffers))
	for i, b := range buffers {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	var h unix.Msghdr
	h.Iov = unsafe.SliceData(iov)
	h.SetIovlen(len(iov))
	if len(control) > 0 {
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	if errno != 0 {
		return -1, h, errno
	}
	return int(n), h, nil
}

func descriptors(control []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_RIGHTS {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				return nil, err
			}
			all = append(all, fds...)
		}
	}
	return all, nil
}

// reopened are the same files, opened anew where that can be done: a socket cannot.
func reopened(fds []int) []int {
	again := slices.Clone(fds)
	for i, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		mode := flags&(unix.O_ACCMODE|unix.O_PATH) | unix.O_CLOEXEC | unix.O_NONBLOCK
		opened, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), mode, 0)
		if err != nil {
			continue
		}
		// O_NONBLOCK was for the opening of a pipe alone.
		_, _ = unix.FcntlInt(uintptr(opened), unix.F_SETFL, flags)
		again[i] = opened
	}
	return again
}

func closeOthers(fds, keep []int) {
	for _, fd := range fds {
		if !slices.Contains(keep, fd) {
			_ = unix.Close(fd)
		}
	}
}
