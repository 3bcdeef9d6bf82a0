//go:build unix

package pure

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is an aligned control buffer, large enough for sending maxFDs.
type control [(maxFDs*4 + 64) / 8]uint64

func (c *control) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(c)), len(c)*8)
}

// putFDs makes the zeroed buf one SCM_RIGHTS message and returns the part of
// buf that the message fills, padding included.
func putFDs(buf []byte, fds []int32) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(buf)))
	h.Level = unix.SOL_SOCKET
	h.Type = unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * len(fds)))
	data := buf[unix.CmsgLen(0):]
	for i, fd := range fds {
		binary.NativeEndian.PutUint32(data[4*i:], uint32(fd))
	}
	return buf[:unix.CmsgSpace(4*len(fds))]
}

// takeFDs takes the descriptors out of received control data: the first
// len(fds) of the SCM_RIGHTS ones into fds; every other one is closed, and cut
// says that there were such.
func takeFDs(buf []byte, fds []int32) (taken int, cut bool) {
	for len(buf) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(buf)))
		// macOS leaves the length of what was sent, not of what arrived.
		size := min(int(h.Len), len(buf))
		if size < unix.CmsgLen(0) {
			return taken, cut
		}
		rights := h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_RIGHTS
		if rights || isPidfd(h) {
			data := buf[unix.CmsgLen(0):size]
			for ; len(data) >= 4; data = data[4:] {
				fd := int32(binary.NativeEndian.Uint32(data))
				// Negative: refused, told in its place (SO_RIGHTS_NOTRUNC).
				if fd < 0 || !rights || taken == len(fds) {
					if fd >= 0 {
						closeFD(fd)
					}
					cut = true
					continue
				}
				setCloseOnExec(fd)
				fds[taken] = fd
				taken++
			}
		}
		next := unix.CmsgSpace(size - unix.CmsgLen(0))
		if next >= len(buf) {
			return taken, cut
		}
		buf = buf[next:]
	}
	return taken, cut
}

// closeFD closes a descriptor that is not handed over. Its error has nobody
// to go to: the number is free on every system after close was called.
func closeFD(fd int32) {
	_ = unix.Close(int(fd))
}
