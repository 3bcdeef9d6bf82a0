package recorder

import (
	"crypto/sha256"
	"os"
	"strconv"
)

const (
	defaultLimit = 1 << 20  // bytes of one buffer
	callLimit    = 16 << 20 // bytes of all that a call points to
	maxVector    = 1024     // UIO_MAXIOV: the kernel takes no more iovecs, and no more messages
	maxString    = 4096
)

// A reader reads memory of stopped threads.
type reader struct {
	limit int  // of a payload
	sum   bool // Options.Sum
}

// read fills in the Data of all blobs, each as far as it can be read. The
// error is why nothing at all can be.
func (r *reader) read(tid int, blobs []Blob) error {
	f, err := openMemory(tid)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	left := uint64(callLimit)
	// Payloads get what the rest leaves: descriptors must not be lost behind them.
	for _, payloads := range []bool{false, true} {
		limit := uint64(defaultLimit)
		if payloads {
			limit = uint64(r.limit)
		}
		for i := range blobs {
			b := &blobs[i]
			if (b.What == Payload) != payloads {
				continue
			}
			b.Data = nil
			if n := min(b.Size, limit, left); n > 0 && b.Addr != 0 {
				b.Data = make([]byte, n)
				got, _ := f.ReadAt(b.Data, int64(b.Addr)) // what cannot be read is left out
				b.Data = b.Data[:got]
				left -= uint64(got)
			}
		}
	}
	return nil
}

// addSum sums the bytes of a payload behind those that were read, up to size.
func (b *Blob) addSum(tid int, size uint64) {
	f, err := openMemory(tid)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	chunk := make([]byte, 1<<16)
	for at := uint64(len(b.Data)); at < size; {
		n, _ := f.ReadAt(chunk[:min(size-at, uint64(len(chunk)))], int64(b.Addr+at))
		if n == 0 {
			break
		}
		_, _ = hash.Write(chunk[:n]) // never fails
		at += uint64(n)
	}
	b.Sum = string(hash.Sum(nil))
}

func openMemory(tid int) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(tid) + "/mem")
}
