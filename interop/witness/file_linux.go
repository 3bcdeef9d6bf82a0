package witness

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

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
	Number int  // in the process of its owner
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
// runner has, another end: f opened anew. f must be free. The error is ErrLocked while somebody
// holds the lock of the pipe.
func (f *File) Reopen(second *File) error {
	flags := map[string]int{"pipe-r": unix.O_RDONLY, "pipe-w": unix.O_WRONLY}
	flag, ok := flags[f.Kind]
	if !ok {
		return unix.EOPNOTSUPP
	}
	name := fmt.Sprintf("/proc/self/fd/%d", f.Other)
	opened := make(chan int, 1)
	n, err := InTime(func() (int, error) {
		defer close(opened)
		n, err := unix.Open(name, flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			opened <- n
		}
		return n, err
	})
	if errors.Is(err, ErrLocked) {
		go func() {
			for n := range opened {
				_ = unix.Close(n) // it came too late for anybody
			}
		}()
	}
	if err != nil {
		return err
	}
	second.Other = n
	CloseNumber(&f.Other)
	return nil
}

// Drop closes the runner's descriptor of the file, and keeps that of its other end.
func (f *File) Drop() {
	CloseNumber(&f.Own)
}

// Close closes the runner's descriptors of the file. Of a TCP socket it ends SO_LINGER,
// which a peer may have set: what is still to be sent interests nobody.
func (f *File) Close() {
	closeNumber(&f.Own, true)
	closeNumber(&f.Other, true)
}

// CloseNumber closes a descriptor of this process, unless it is -1, and sets it to -1. A
// peer can make the last close of its file wait, for as long as it likes, and no signal ends
// that: CloseNumber then returns after a second, and the close goes on by itself. The number
// is free already; the file is not.
func CloseNumber(fd *int) { closeNumber(fd, false) }

// lateCloses is how many closes CloseNumber has left to themselves.
var lateCloses atomic.Int64

// LateCloses returns how many closes still wait after CloseNumber has returned.
func LateCloses() int { return int(lateCloses.Load()) }

func closeNumber(fd *int, noLinger bool) {
	if *fd < 0 {
		return
	}
	n := *fd
	*fd = -1
	patience := time.Second
	if lateCloses.Load() > 0 {
		patience = 20 * time.Millisecond // a session has hundreds of files, and all may wait for the same
	}
	Forking.RLock()
	defer Forking.RUnlock()
	done := make(chan struct{})
	_, err := Within(patience, func() (struct{}, error) {
		defer close(done)
		if noLinger {
			_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // it may be no socket
		}
		_ = unix.Close(n) // the runner's own copy: nothing to do about an error
		return struct{}{}, nil
	})
	if err != nil {
		lateCloses.Add(1)
		go func() {
			<-done
			lateCloses.Add(-1)
		}()
	}
}

// Forking is held while a child is made: until it is its program, it has copies of
// all numbers of this process, and what is closed here meanwhile is not closed.
var Forking sync.RWMutex
