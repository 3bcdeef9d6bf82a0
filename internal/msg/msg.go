// Package msg has the form in which package scm hands a message to a backend.
package msg

const (
	// MaxFDs is the kernel's SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is the kernel's UIO_MAXIOV.
	MaxBuffers = 1024

	// MaxBatch is how many messages of a batch one system call takes:
	// SCM_MAX_BATCH of csrc.
	MaxBatch = 32

	// NameBytes is room for any address: sizeof(struct sockaddr_storage).
	NameBytes = 128

	// RestartSys is Linux's ERESTARTSYS, and no errno of another system. A recvmmsg
	// that a signal ends after its first message leaves it in the socket, and the next
	// call on the socket fails with it.
	RestartSys = 512
)

// A Message is one message, to send or received.
type Message struct {
	Buffers  [][]byte
	FDs      []int  // to send, or room
	Name     []byte // the address to send to, or room for the sender's
	Cred     *Cred  // to attach, or to be filled
	PIDFD    *int   // to be filled, -1 if none was received; points to nothing else of the call
	Unpadded bool   // msg_controllen is sent as CMSG_LEN, not CMSG_SPACE

	N       int // bytes sent or received
	NFD     int // descriptors received
	Flags   int // of a received message
	NameLen int // of the sender's address
}

// Number is a descriptor as the kernel has it. What does not fit is nobody's
// descriptor, and must not become somebody's by losing its upper half.
func Number(fd int) int32 {
	if n := int32(fd); int(n) == fd {
		return n
	}
	return -1
}

// Cred is who sent a message, or says so. PID is 0 where the sender is outside of
// the receiver's PID namespace.
type Cred struct {
	PID      int32
	UID, GID uint32
}

// noCred is what a receive leaves where none was received: the kernel gives no message
// this user and this group.
var noCred = Cred{UID: ^uint32(0), GID: ^uint32(0)}

// Came reports whether a receive has set c.
func (c *Cred) Came() bool { return *c != noCred }

// ClearResults makes m say that nothing was sent or received.
func (m *Message) ClearResults() {
	m.N, m.NFD, m.Flags, m.NameLen = 0, 0, 0, 0
}

// ClearReceived makes m say that nothing was received, no credentials and no pidfd
// either. It is scm_clear_received of csrc.
func (m *Message) ClearReceived() {
	m.ClearResults()
	if m.Cred != nil {
		*m.Cred = noCred
	}
	if m.PIDFD != nil {
		*m.PIDFD = -1
	}
}
