// Package msg defines the form in which package scm passes a message to a backend.
package msg

const (
	// MaxFDs is the kernel's SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is the kernel's UIO_MAXIOV.
	MaxBuffers = 1024

	// NameBytes is sizeof(struct sockaddr_storage), which can hold any address.
	NameBytes = 128

	// RestartSys is Linux's internal ERESTARTSYS, which is not an errno on other systems.
	// If a signal ends a recvmmsg(2) after its first message, in any process that holds the
	// socket, Linux leaves it in the socket, and the next call on the socket fails with it.
	RestartSys = 512
)

// A Message is a message to send or a received one.
type Message struct {
	Buffers  [][]byte
	FDs      []int  // to send, or space for received ones
	Name     []byte // the destination, or space for the sender's address
	Cred     *Cred  // to attach, or to fill in
	PIDFD    *int   // to fill in, -1 if none was received; no other part of the call may use this variable
	Unpadded bool   // make msg_controllen CMSG_LEN instead of CMSG_SPACE

	N       int // number of bytes sent or received
	NFD     int // number of descriptors received
	Flags   int // flags of a received message
	NameLen int // length of the sender's address
}

// Number returns a descriptor as the int32 that the kernel expects, or -1 if it does not
// fit. Without its upper half, it could be a valid descriptor for a different file.
func Number(fd int) int32 {
	if n := int32(fd); int(n) == fd {
		return n
	}
	return -1
}

// Cred holds the credentials of a message's sender, or those that it claims. PID is 0 if
// the sender is outside the receiver's PID namespace.
type Cred struct {
	PID      int32
	UID, GID uint32
}

// noCred is the value of Cred if no credentials were received. The kernel never reports this
// user and group.
var noCred = Cred{UID: ^uint32(0), GID: ^uint32(0)}

// Received reports whether a receive has set c.
func (c *Cred) Received() bool { return *c != noCred }

// ClearResults resets the results in m, except Cred and PIDFD.
func (m *Message) ClearResults() {
	m.N, m.NFD, m.Flags, m.NameLen = 0, 0, 0, 0
}

// ClearReceived resets the results in m, including Cred and PIDFD. It corresponds to
// scm_clear_received in csrc.
func (m *Message) ClearReceived() {
	m.ClearResults()
	if m.Cred != nil {
		*m.Cred = noCred
	}
	if m.PIDFD != nil {
		*m.PIDFD = -1
	}
}

// IsEmpty reports whether the buffers hold no byte.
func IsEmpty(buffers [][]byte) bool {
	for _, p := range buffers {
		if len(p) > 0 {
			return false
		}
	}
	return true
}
