package witness

import "golang.org/x/sys/unix"

// A State is the offset and the status flags of an open file description, which a peer must
// not change.
type State struct {
	Flags  int   // of changeable
	Offset int64 // -1 where there is none
}

// changeable are the status flags that fcntl(2) can change.
const changeable = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// StateOf returns the state of a file, by the runner's own descriptor; ok is false if that
// was dropped.
func StateOf(f *File) (s State, ok bool) {
	if f.Own < 0 {
		return s, false
	}
	flags, err := unix.FcntlInt(uintptr(f.Own), unix.F_GETFL, 0)
	if err != nil {
		return s, false
	}
	s = State{Flags: flags & changeable, Offset: -1}
	if flags&unix.O_PATH == 0 {
		if offset, err := unix.Seek(f.Own, 0, unix.SEEK_CUR); err == nil {
			s.Offset = offset
		}
	}
	return s, true
}
