package fusetest

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Requests, from linux/fuse.h.
const (
	Lookup  = 1
	Getattr = 3
	Unlink  = 10
	Open    = 14
	Read    = 15
	Statfs  = 17
	Flush   = 25
	Init    = 26
	Opendir = 27
	Poll    = 40
)

// Options describe the file of a server. The zero value describes a regular file.
type Options struct {
	Socket bool // the file is a socket file
}

// A Server serves a folder with one file in it. It does not let the kernel cache any answer.
type Server struct {
	File string // the path of the file

	// Waiting receives an element for each request that the server does not answer.
	Waiting chan struct{}

	options  Options
	mu       sync.Mutex
	asked    []uint32
	silent   uint32
	released chan struct{}
	release  func()
}

// Mount mounts the file system on a new folder until the test ends. If that is not possible, it skips the test.
func Mount(t testing.TB, options Options) *Server {
	t.Helper()
	if fdtest.Emulator() != "" && binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		t.Skip(fdtest.HostByteOrder)
	}
	if fdtest.OnGVisor() {
		t.Skip("gVisor's FUSE sends requests that this server does not implement")
	}
	fdtest.NeedRoot(t, "mount FUSE")
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no FUSE: " + err.Error())
	}
	dir := t.TempDir()
	if err := unix.Mount("scm", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)); err != nil {
		_ = unix.Close(dev)
		t.Skip("FUSE cannot be mounted: " + err.Error())
	}
	s := &Server{
		File: filepath.Join(dir, "file"), Waiting: make(chan struct{}, 100),
		options: options, released: make(chan struct{}),
	}
	s.release = sync.OnceFunc(func() { close(s.released) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(dev)
	}()
	t.Cleanup(func() {
		s.Release()
		// With MNT_FORCE, the server's read fails even if a file is still open.
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
			t.Error(err)
		}
		<-done
		_ = unix.Close(dev)
	})
	return s
}

// Hush stops answering requests of a kind until Release.
func (s *Server) Hush(kind uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = kind
}

// Release answers every waiting request and all later ones.
func (s *Server) Release() {
	s.Hush(0)
	s.release()
}

// Asked returns the kinds of the requests since the last call.
func (s *Server) Asked() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// serve answers until the file system is unmounted.
func (s *Server) serve(dev int) {
	order := binary.NativeEndian
	buf := make([]byte, 1<<17)
	var late sync.WaitGroup
	defer late.Wait()
	for {
		n, err := unix.Read(dev, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil {
			return
		}
		kind, id := order.Uint32(buf[4:n]), order.Uint64(buf[8:n])
		s.mu.Lock()
		s.asked = append(s.asked, kind)
		silent := kind == s.silent
		s.mu.Unlock()
		body, errno := s.answer(kind, order.Uint64(buf[16:n]))
		out := order.AppendUint32(nil, uint32(16+len(body)))
		out = order.AppendUint32(out, uint32(-int32(errno)))
		out = append(order.AppendUint64(out, id), body...)
		if !silent {
			_, _ = unix.Write(dev, out)
			continue
		}
		s.Waiting <- struct{}{}
		late.Add(1)
		go func() {
			defer late.Done()
			<-s.released
			_, _ = unix.Write(dev, out)
		}()
	}
}

func (s *Server) answer(kind uint32, node uint64) (body []byte, errno unix.Errno) {
	const root, file = 1, 2
	words := func(values ...uint32) (b []byte) {
		for _, v := range values {
			b = binary.NativeEndian.AppendUint32(b, v)
		}
		return b
	}
	attr := func(node uint64) []byte {
		mode := uint32(unix.S_IFREG | 0o700)
		switch {
		case node == root:
			mode = unix.S_IFDIR | 0o700
		case s.options.Socket:
			mode = unix.S_IFSOCK | 0o600
		}
		b := make([]byte, 48+12) // inode, size, blocks and times
		binary.NativeEndian.PutUint64(b, node)
		binary.NativeEndian.PutUint64(b[8:], 1)
		return append(b, words(mode, 1, 0, 0, 0, 512, 0)...)
	}
	switch kind {
	case Init:
		const asyncRead = 1 // so a fatal signal ends a read
		return append(words(7, 31, 0, asyncRead, 0, 4096), make([]byte, 40)...), 0
	case Lookup: // a node with a validity of zero seconds
		return append(words(file, 0, 0, 0, 0, 0, 0, 0, 0, 0), attr(file)...), 0
	case Getattr:
		return append(words(0, 0, 0, 0), attr(node)...), 0
	case Open, Opendir:
		return words(0, 0, 0, 0), 0
	case Statfs:
		return make([]byte, 80), 0
	}
	return nil, unix.ENOSYS // after which the kernel sends no further Flush
}
