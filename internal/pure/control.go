//go:build unix

package pure

import (
	"encoding/binary"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// credBytes is sizeof(struct ucred).
const credBytes = 12

// control is an aligned control buffer of SCM_CONTROL_BYTES (see csrc), which is large enough
// for all control data of a message.
type control [(msg.MaxFDs*4 + credBytes + 4 + 3*32) / 8]uint64

func (c *control) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(c)), len(c)*8)
}

// put writes the header of a control message for size bytes of data at the start of the zeroed
// buf, and returns the space for the data.
func put(buf []byte, kind int32, size int) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(buf)))
	h.Level, h.Type = unix.SOL_SOCKET, kind
	h.SetLen(unix.CmsgLen(size))
	return buf[unix.CmsgLen(0):]
}

// PutControl writes the control messages of m to the zeroed buf, and returns their length.
func PutControl(buf []byte, m *msg.Message) int {
	length, last := 0, 0
	if len(m.FDs) > 0 {
		last = 4 * len(m.FDs)
		data := put(buf, unix.SCM_RIGHTS, last)
		for i, fd := range m.FDs {
			binary.NativeEndian.PutUint32(data[4*i:], uint32(msg.Number(fd)))
		}
		length += unix.CmsgSpace(last)
	}
	if m.Cred != nil {
		last = credBytes
		data := put(buf[length:], scmCredentials, last)
		binary.NativeEndian.PutUint32(data, uint32(m.Cred.PID))
		binary.NativeEndian.PutUint32(data[4:], m.Cred.UID)
		binary.NativeEndian.PutUint32(data[8:], m.Cred.GID)
		length += unix.CmsgSpace(last)
	}
	if m.Unpadded {
		length -= unix.CmsgSpace(last) - unix.CmsgLen(last)
	}
	return length
}

// takeControl stores the control data received in buf in m, with the first len(m.FDs)
// descriptors. It closes the others and sets MSG_CTRUNC in m.Flags.
func takeControl(buf []byte, m *msg.Message) {
	for len(buf) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(buf)))
		// macOS leaves the length of the data sent, not of the data received.
		size := min(int(h.Len), len(buf)) - unix.CmsgLen(0)
		if size < 0 {
			return
		}
		if h.Level == unix.SOL_SOCKET {
			takeMessage(h.Type, buf[unix.CmsgLen(0):][:size], m)
		}
		next := unix.CmsgSpace(size)
		if next >= len(buf) {
			return
		}
		buf = buf[next:]
	}
}

// closeInstalled closes the descriptors that a receive installed before it failed, like
// scm_close_installed in csrc. buf was zeroed before the call. A message without capacity for
// descriptors makes takeControl close them all.
func closeInstalled(buf []byte) {
	takeControl(buf, &msg.Message{})
}

// takeMessage stores the data of one control message of this type in m.
func takeMessage(kind int32, data []byte, m *msg.Message) {
	switch kind {
	case unix.SCM_RIGHTS:
		takeFDs(data, m, len(m.FDs))
	case scmCredentials:
		if m.Cred != nil && len(data) >= credBytes {
			m.Cred.PID = int32(binary.NativeEndian.Uint32(data))
			m.Cred.UID = binary.NativeEndian.Uint32(data[4:])
			m.Cred.GID = binary.NativeEndian.Uint32(data[8:])
		}
	case scmPidfd:
		fd := int32(-1)
		if m.PIDFD != nil && len(data) >= 4 && *m.PIDFD < 0 {
			fd = int32(binary.NativeEndian.Uint32(data))
		}
		// A pidfd is a descriptor too, even if it was not requested. A negative
		// one is an errno: the reason why there is no pidfd. With m.NFD as the
		// capacity, takeFDs keeps neither: it closes a pidfd, and sets MSG_CTRUNC.
		if fd >= 0 {
			*m.PIDFD = int(fd)
		} else {
			takeFDs(data, m, m.NFD)
		}
	}
}

// takeFDs appends the received descriptors to m.FDs, up to a total of room or the first one that
// a security module rejected. It closes the others and sets MSG_CTRUNC in m.Flags.
func takeFDs(data []byte, m *msg.Message, room int) {
	for ; len(data) >= 4; data = data[4:] {
		fd := int32(binary.NativeEndian.Uint32(data))
		// With SO_RIGHTS_NOTRUNC, a rejected descriptor is a negative value. Without it, those
		// that follow would not have the index that the sender gave them.
		if fd < 0 {
			room = m.NFD
		}
		if m.NFD == room {
			if fd >= 0 {
				closeFD(fd)
			}
			m.Flags |= unix.MSG_CTRUNC
			continue
		}
		if sys.CmsgCloexec == 0 {
			unix.CloseOnExec(int(fd)) // package scm holds syscall.ForkLock
		}
		m.FDs[m.NFD] = int(fd)
		m.NFD++
	}
}

// closeFD closes a descriptor that is not returned to the caller. It ignores errors, because
// every system releases the descriptor even if close fails.
func closeFD(fd int32) {
	_ = unix.Close(int(fd))
}

// check rejects arguments that are wrong on their face, like scm_check in csrc.
func check(m *msg.Message) error {
	switch {
	case len(m.FDs) > msg.MaxFDs:
		return unix.EINVAL
	case len(m.Buffers) > msg.MaxBuffers:
		return unix.EMSGSIZE
	case !hasRights && len(m.FDs) > 0:
		return unix.EOPNOTSUPP
	case !hasCredentials && (m.Cred != nil || m.PIDFD != nil):
		return unix.EOPNOTSUPP
	}
	return nil
}
