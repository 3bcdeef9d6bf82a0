package witness

import (
	"os"

	"golang.org/x/sys/unix"
)

// A State is the offset and the status flags of an open file description, which a peer must
// not change.
type State struct {
	Flags  int   // of changeable
	Offset int64 // -1 where there is none
}

// changeable are the status flags that fcntl(2) can change.
const changeable = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// StateOf returns the state of a file, by the runner's own descriptor; ok is false if that
// was dropped, or the kernel does not tell.
func StateOf(f *File) (s State, ok bool) {
	if f.Own < 0 {
		return s, false
	}
	flags, err := unix.FcntlInt(uintptr(f.Own), unix.F_GETFL, 0)
	if err != nil {
		return s, false
	}
	s = State{Flags: flags & changeable, Offset: -1}
	if flags&unix.O_PATH != 0 || f.Kind == "pipe-r" || f.Kind == "pipe-w" || f.Kind == "epoll" {
		// It has no offset, and an epoll shows what it has under a lock.
		return s, true
	}
	// lseek(2) waits for a read(2) of the same file to end, and so for a peer. /proc shows the
	// offset without that.
	info, err := FDInfo(os.Getpid(), f.Own)
	if err != nil {
		return s, false
	}
	if s.Offset = info.Pos; !info.pos { // gVisor shows none
		s.Offset, err = InTime(func() (int64, error) { return unix.Seek(f.Own, 0, unix.SEEK_CUR) })
		if err != nil {
			s.Offset = -1
		}
	}
	return s, true
}
