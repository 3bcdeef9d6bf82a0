package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Requests of linux/fuse.h.
const (
	fuseLookup  = 1
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseFlush   = 25
	fuseInit    = 26
)

// silentFile is the number of an open file of a file system whose server takes requests
// of one kind and does not answer them, from hush until the end of the test.
func silentFile(t *testing.T) (fd int, hush func(kind uint32)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount FUSE")
	}
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		t.Skip("an emulator may not turn the bytes of FUSE's requests")
	}
	dir := t.TempDir()
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("there is no FUSE here: ", err)
	}
	if err := unix.Mount("scm", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)); err != nil {
		_ = unix.Close(dev)
		t.Skip("FUSE cannot be mounted here: ", err)
	}
	var quiet atomic.Uint32
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveFuse(dev, &quiet)
	}()
	t.Cleanup(func() {
		// By force: what waits for the server goes on.
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
			t.Error(err)
		}
		_ = unix.Close(dev)
		<-done
	})
	fd, err = unix.Open(filepath.Join(dir, "file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		quiet.Store(0)
		_ = unix.Close(fd)
	})
	return fd, quiet.Store
}

// serveFuse serves a folder with one file until it is unmounted. It answers no request
// of the kind quiet.
func serveFuse(dev int, quiet *atomic.Uint32) {
	order := binary.NativeEndian
	in := make([]byte, 1<<17)
	for {
		n, err := unix.Read(dev, in)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil {
			return
		}
		kind := order.Uint32(in[4:n])
		if kind == quiet.Load() {
			continue
		}
		words := func(values ...uint32) (b []byte) {
			for _, v := range values {
				b = order.AppendUint32(b, v)
			}
			return b
		}
		attr := func(mode uint32) []byte { // number, size, blocks and times, all 1 or 0
			return append(append(words(1, 0, 1, 0), make([]byte, 44)...), words(mode, 1, 0, 0, 0, 512, 0)...)
		}
		var body []byte
		var errno unix.Errno
		switch kind {
		case fuseInit:
			body = append(words(7, 31, 0, 0, 0, 4096), make([]byte, 40)...)
		case fuseLookup:
			body = append(words(2, 0, 0, 0, 0, 0, 0, 0, 0, 0), attr(unix.S_IFREG|0o600)...)
		case fuseGetattr:
			mode := uint32(unix.S_IFREG | 0o600)
			if order.Uint64(in[16:n]) == 1 {
				mode = unix.S_IFDIR | 0o700
			}
			body = append(words(0, 0, 0, 0), attr(mode)...)
		case fuseOpen:
			body = make([]byte, 16)
		case fuseFlush:
		default:
			errno = unix.ENOSYS
		}
		out := order.AppendUint32(nil, uint32(16+len(body)))
		out = order.AppendUint32(out, uint32(-int32(errno)))
		_, _ = unix.Write(dev, append(append(out, in[8:16]...), body...))
	}
}
