package recorder

// A Snapshot contains the memory that the arguments of a call point to, at the entry or at the
// exit of the call.
type Snapshot struct {
	SocketcallArgs *Memory   // the arguments in the array of socketcall(2); nil for all other calls
	Timeout        *Memory   // the timespec of a recvmmsg, which the kernel changes; nil if there is none
	Messages       []Message // the msghdr, or one per mmsghdr
}

// A Message contains a msghdr or mmsghdr, and the memory that it points to.
type Message struct {
	Header  Msghdr
	Iovecs  Memory   // the array of iovecs
	Address Memory   // msg_name; its Size is 0 if the program passes none
	Control Control  // msg_control; its Size is 0 if the program passes none
	Payload []Memory // the buffer of each iovec

	// At the exit:
	Bytes         int    // how many bytes of the payload were sent or received
	ReceivedFlags uint32 // msg_flags of a received message
}

// A Msghdr is a decoded msghdr or mmsghdr. Its Memory contains the structure itself, including
// all padding. Fields that could not be read are 0.
type Msghdr struct {
	Memory
	Name       uint64
	NameLen    uint64
	Iov        uint64
	IovLen     uint64
	ControlPtr uint64
	ControlLen uint64
	Flags      uint32
	MsgLen     uint64 // only in a mmsghdr
}

// A Control is a control buffer and the control messages that it contains. At the entry of a
// receiving call, these messages are left over from earlier calls.
type Control struct {
	Memory
	Cmsgs []Cmsg
	Rest  []byte // the bytes after the last well-formed control message
}

// A Cmsg is one control message. Header, Data and Padding are adjacent in memory, in this order.
type Cmsg struct {
	Offset  int // of the header, in the control buffer
	Len     uint64
	Level   int32
	Type    int32
	Header  []byte
	Data    []byte
	Padding []byte  // up to where the next message can begin
	FDs     []int32 // the descriptors of SCM_RIGHTS or SCM_PIDFD
}

// A MemoryKind describes the contents of a Memory.
type MemoryKind int

const (
	Registers      MemoryKind = iota // not memory: the arguments and the result
	SocketcallArgs                   // the array of socketcall's arguments
	Header                           // a msghdr or mmsghdr
	Iovecs                           // all iovecs of a message
	Payload                          // the buffer of one iovec
	Address                          // msg_name
	ControlData                      // msg_control
	Timeout                          // a timespec
)

func (k MemoryKind) String() string {
	return [...]string{"registers", "socketcall's arguments", "msghdr", "iovec", "payload", "address", "control", "timeout"}[k]
}

// A Memory describes a range of the program's memory at one moment.
type Memory struct {
	Kind    MemoryKind
	Message int    // the index of its message
	Iovec   int    // of a payload: the index of its iovec
	Addr    uint64 // its address
	Size    uint64 // its length, according to the program
	Data    []byte // the bytes that could be read; of a payload, at most Options.Limit
	Used    uint64 // how many bytes the kernel reads (entry), or has read or written (exit); may exceed Data
	Sum     string // at the exit, of a payload: the SHA-256 of the transferred bytes after Data; see Options.Sum

	short bool // a byte that was to be recorded or summed could not be read
}

// used returns the recorded bytes that the kernel reads, or has read or written.
func (m *Memory) used() []byte { return m.Data[:min(uint64(len(m.Data)), m.Used)] }

// unread returns how many of the used bytes could not be read.
func (m *Memory) unread() uint64 {
	recorded := uint64(len(m.Data))
	return max(min(m.Size, m.Used), recorded) - recorded
}

// headerUnread reports whether the header could not be read as a whole.
func (m *Message) headerUnread() bool { return uint64(len(m.Header.Data)) < m.Header.Size }

// address returns msg_name up to msg_namelen.
func (m *Message) address() []byte {
	return m.Address.Data[:min(uint64(len(m.Address.Data)), m.Header.NameLen)]
}

// capacity returns the size of all payload buffers.
func (m *Message) capacity() (size uint64) {
	for i := range m.Payload {
		size += m.Payload[i].Size
	}
	return size
}

// payload returns the payload that was sent or received, up to the first byte that was not
// recorded, and the length of the whole payload.
func (m *Message) payload() (data []byte, length int) {
	whole := true
	left := uint64(1 << 62) // the program can claim any size, and the sum must not overflow
	for i := range m.Payload {
		part := &m.Payload[i]
		n := min(part.Used, left)
		left -= n
		length += int(n)
		got := part.Data[:min(uint64(len(part.Data)), n)]
		if whole {
			data = append(data, got...)
		}
		whole = whole && uint64(len(got)) == n
	}
	return data, length
}

// memory returns all memory of the snapshot, in the order in which the recorder reads it. The
// recorder reads a pointer or a length before the memory that depends on it.
func (s *Snapshot) memory() (list []*Memory) {
	for _, m := range []*Memory{s.SocketcallArgs, s.Timeout} {
		if m != nil {
			list = append(list, m)
		}
	}
	for i := range s.Messages {
		list = append(list, &s.Messages[i].Header.Memory)
	}
	for i := range s.Messages {
		list = append(list, &s.Messages[i].Iovecs)
	}
	for i := range s.Messages {
		list = append(list, s.Messages[i].pointees()...)
	}
	return list
}

// pointees returns the memory that the header and the iovecs point to.
func (m *Message) pointees() (list []*Memory) {
	if m.Address.Size > 0 {
		list = append(list, &m.Address)
	}
	if m.Control.Size > 0 {
		list = append(list, &m.Control.Memory)
	}
	for i := range m.Payload {
		list = append(list, &m.Payload[i])
	}
	return list
}

// clone returns a snapshot of the same memory with the same bytes, to be read again.
func (s *Snapshot) clone() Snapshot {
	var c Snapshot
	c.SocketcallArgs, c.Timeout = s.SocketcallArgs.clone(), s.Timeout.clone()
	for _, m := range s.Messages {
		m.Payload = append([]Memory(nil), m.Payload...)
		c.Messages = append(c.Messages, m)
	}
	return c
}

func (m *Memory) clone() *Memory {
	if m == nil {
		return nil
	}
	c := *m
	return &c
}
