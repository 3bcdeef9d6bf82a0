package recorder

import (
	"crypto/sha256"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultLimit = 1 << 20  // bytes of one buffer
	callLimit    = 16 << 20 // bytes of all that a call points to
	maxVector    = 1024     // UIO_MAXIOV: the kernel takes no more iovecs, and no more messages
	maxString    = 4096
)

// A reader reads memory of stopped threads.
type reader struct {
	limit  int  // of a payload
	brief  bool // Options.Brief
	rest   bool // Options.Rest
	remote []unix.RemoteIovec
}

// A Watch reports to another goroutine whether a recorder sees to one stop for long. Behind
// a page of memory may be a server of FUSE, or of userfaultfd, that does not answer; a call
// may have a million buffers, none of which is there; and Handle may wait for a reader.
type Watch struct {
	steps atomic.Uint64 // odd while the recorder sees to a stop
}

// step begins one, which its result ends.
func (w *Watch) step() (end func()) {
	w.steps.Add(1)
	return func() { w.steps.Add(1) }
}

// Stuck waits for d, and reports whether the recorder saw to one and the same stop all the
// time.
func (w *Watch) Stuck(d time.Duration) bool {
	before := w.steps.Load()
	time.Sleep(d)
	return before%2 == 1 && w.steps.Load() == before
}

// read fills in the Data of all blobs, each as far as it can be read. The
// error is why nothing at all can be.
func (r *reader) read(tid int, blobs []Blob) error {
	total := 0
	r.remote = slices.Grow(r.remote[:0], len(blobs))[:len(blobs)]
	// Payloads get what the rest leaves: descriptors must not be lost behind them.
	for _, payloads := range []bool{false, true} {
		for i := range blobs {
			b := &blobs[i]
			if (b.What == Payload) != payloads {
				continue
			}
			n := 0
			if b.Addr != 0 {
				n = int(min(b.Size, uint64(callLimit-total)))
				if payloads {
					n = min(n, r.limit)
				} else {
					n = min(n, defaultLimit)
				}
			}
			r.remote[i] = unix.RemoteIovec{Base: uintptr(b.Addr), Len: n}
			total += n
		}
	}
	if total == 0 {
		return nil
	}
	arena := make([]byte, total)
	for i, off := 0, 0; i < len(blobs); i++ {
		n := r.remote[i].Len
		blobs[i].Data = arena[off : off+n : off+n]
		off += n
	}
	for first := 0; first < len(blobs); {
		last := min(first+maxVector, len(blobs))
		next, err := r.readSome(tid, blobs[first:last], r.remote[first:last])
		if err != nil {
			for i := range blobs[first:] {
				blobs[first+i].Data = nil
			}
			return err
		}
		first += next
	}
	return nil
}

// readSome reads until all is read or something is not there, and returns how
// many blobs are dealt with.
func (r *reader) readSome(tid int, blobs []Blob, remote []unix.RemoteIovec) (int, error) {
	size := 0
	for _, iov := range remote {
		size += iov.Len
	}
	if size == 0 {
		return len(blobs), nil
	}
	// The blobs lie one behind the other.
	var start []byte
	for i := range blobs {
		if len(blobs[i].Data) > 0 {
			start = blobs[i].Data[:1]
			break
		}
	}
	local := [1]unix.Iovec{{Base: &start[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(tid, local[:], remote, 0)
	switch {
	case err == nil && n == size:
		return len(blobs), nil
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS):
		return len(blobs), readFile(tid, blobs, err)
	case errors.Is(err, unix.ESRCH):
		return len(blobs), err
	case err != nil:
		n = 0
	}
	for i := range blobs {
		if n < len(blobs[i].Data) {
			blobs[i].Data = blobs[i].Data[:n]
			return i + 1, nil
		}
		n -= len(blobs[i].Data)
	}
	return len(blobs), nil
}

// sum sums the bytes of a payload behind those that were read, up to size.
func (r *reader) sum(tid int, b *Blob, size uint64) {
	hash := sha256.New()
	for at := uint64(len(b.Data)); at < size; {
		chunk := []Blob{{What: b.What, Addr: b.Addr + at, Size: min(size-at, uint64(r.limit))}}
		if r.read(tid, chunk) != nil || len(chunk[0].Data) == 0 {
			break
		}
		_, _ = hash.Write(chunk[0].Data) // never fails
		at += uint64(len(chunk[0].Data))
		b.Rest.Size += uint64(len(chunk[0].Data))
	}
	b.Rest.Sum = string(hash.Sum(nil))
}

// readFile is for where process_vm_readv is forbidden and ptrace is not, as in
// some containers.
func readFile(tid int, blobs []Blob, why error) error {
	f, err := os.Open("/proc/" + strconv.Itoa(tid) + "/mem")
	if err != nil {
		return os.NewSyscallError("process_vm_readv", why)
	}
	defer func() { _ = f.Close() }()
	for i := range blobs {
		n, _ := f.ReadAt(blobs[i].Data, int64(blobs[i].Addr)) // what cannot be read is left out
		blobs[i].Data = blobs[i].Data[:n]
	}
	return nil
}
