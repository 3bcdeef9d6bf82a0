package recorder

import (
	"crypto/sha256"
	"os"
	"strconv"
)

const (
	defaultLimit = 1 << 20  // bytes per buffer
	callLimit    = 16 << 20 // bytes per call
	maxVector    = 1024     // UIO_MAXIOV, the kernel's limit for iovecs and for messages
)

// A reader reads the memory of stopped threads.
type reader struct {
	limit int  // Options.Limit, or its default
	sum   bool // Options.Sum
}

// read reads the data of each Memory as far as possible. It sets Unread only if no memory of the
// thread can be read.
func (c *Call) read(r *reader, list []*Memory) {
	if len(list) == 0 {
		return
	}
	f, err := openMemory(c.Thread)
	if err != nil {
		c.Unread = err
		return
	}
	defer func() { _ = f.Close() }()
	left := uint64(callLimit)
	// Read payloads last, so that large payloads do not use up the limit before control data is read.
	for _, payloads := range []bool{false, true} {
		limit := uint64(defaultLimit)
		if payloads {
			limit = uint64(r.limit)
		}
		for _, m := range list {
			if (m.Kind == Payload) != payloads {
				continue
			}
			m.Data, m.short = nil, false
			if n := min(m.Size, limit, left); n > 0 && m.Addr != 0 {
				m.Data = make([]byte, n)
				got, _ := f.ReadAt(m.Data, int64(m.Addr)) // unreadable bytes are left out
				m.Data, m.short = m.Data[:got], uint64(got) < n
				left -= uint64(got)
			}
		}
	}
}

// addSum computes the checksum of the payload bytes after Data, up to size.
func (m *Memory) addSum(tid int, size uint64) {
	f, err := openMemory(tid)
	if err != nil {
		m.short = true
		return
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	chunk := make([]byte, 1<<16)
	for at := uint64(len(m.Data)); at < size; {
		n, _ := f.ReadAt(chunk[:min(size-at, uint64(len(chunk)))], int64(m.Addr+at))
		if n == 0 {
			m.short = true
			break
		}
		_, _ = hash.Write(chunk[:n]) // never fails
		at += uint64(n)
	}
	m.Sum = string(hash.Sum(nil))
}

func openMemory(tid int) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(tid) + "/mem")
}
