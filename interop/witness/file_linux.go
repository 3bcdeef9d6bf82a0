package witness

import (
	"os"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A File is a file of one case. It is made for that case alone, so who has it can only have
// it from there.
type File struct {
	scenario.FileSpec
	Identity
	Own    int  // the runner's copy of the very description, or -1 when dropped
	Other  int  // the other end of a pipe or pair, or -1
	FD     int  // in the process of its owner
	Reused bool // its owner has closed Number since, and reported it anew
}

// OtherEnd is the other end of a file, as a file of its own: nobody else has it.
func (f *File) OtherEnd(spec scenario.FileSpec) (*File, error) {
	end := &File{FileSpec: spec, Own: f.Other, Other: -1}
	f.Other = -1
	var err error
	end.Identity, err = Identify(os.Getpid(), end.Own)
	return end, err
}

// Reopen gives the second end of a pipe, of which f.Other is the only number that the
// runner has, another end: f opened anew. f must be free.
func (f *File) Reopen(second *File) (err error) {
	flags := map[string]int{"pipe-r": unix.O_RDONLY, "pipe-w": unix.O_WRONLY}
	flag, ok := flags[f.Kind]
	if !ok {
		return unix.EOPNOTSUPP
	}
	if second.Other, err = unix.Open(procfs.FDPath(procfs.Self, f.Other), flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		CloseFD(&f.Other)
	}
	return err
}

// Drop closes the runner's descriptor of the file, and keeps that of its other end.
func (f *File) Drop() { CloseFD(&f.Own) }

// Close closes the runner's descriptors of the file. Of a TCP socket it ends SO_LINGER,
// which a peer may have set: what is still to be sent interests nobody.
func (f *File) Close() {
	if f.Kind == "tcp" {
		for _, fd := range []int{f.Own, f.Other} {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // it may be closed already
		}
	}
	CloseFD(&f.Own)
	CloseFD(&f.Other)
}

// Forking is held while a child is made: until it is its program, it has copies of all
// descriptors, and what is closed meanwhile is not closed. syscall.ForkLock does not do: it is
// let go before the copies are closed.
var Forking sync.RWMutex

// CloseFD closes a descriptor of this process, unless it is -1, and sets it to -1.
func CloseFD(fd *int) {
	if *fd < 0 {
		return
	}
	Forking.RLock()
	defer Forking.RUnlock()
	_ = unix.Close(*fd) // the runner's own copy: nothing to do about an error
	*fd = -1
}

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
	// lseek(2) would wait for a read(2) that a peer is in. It is tried where there can be an offset.
	s = State{Flags: flags & changeable, Offset: -1}
	if offset, err := unix.Seek(f.Own, 0, unix.SEEK_CUR); err == nil {
		s.Offset = offset
	}
	return s, true
}
