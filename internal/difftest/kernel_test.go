//go:build cgo && linux

package difftest

import (
	"cmp"
	"os"
	"slices"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// A kernel is a small model of what Linux does with the messages of one
// sequence, and of what a backend makes of it: queues of messages with their
// descriptors, and a table of numbers.
//
// Not in it: addresses, lies about credentials, pidfds, sockets that are passed,
// shutdown, full queues, MSG_OOB and SO_PEEK_OFF.
type kernel struct {
	*layout
	budget
	typ   int
	socks [len(layout{}.socks)]*endpoint
	table map[int]identity
	fresh []opening // of this step
	extra []int     // what a backend closes once the system call is over

	unsure bool // what comes now is not modelled
}

// An endpoint is a socket. One whose partner was closed has none.
type endpoint struct {
	peer     *endpoint
	open     bool
	passcred bool
	end      bool // nothing comes any more, and nothing can be sent
	reset    bool // an ECONNRESET is to be told
	queue    []*packet
}

// A packet is a message in a queue.
type packet struct {
	data []byte
	fds  []identity
	cred msg.Cred
}

var (
	ownCred = msg.Cred{PID: int32(os.Getpid()), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	noCred  = msg.Cred{UID: 65534, GID: 65534} // nobody attached any
	notCome = msg.Cred{UID: ^uint32(0), GID: ^uint32(0)}
)

func newKernel(l *layout, typ int, limited bool) *kernel {
	k := &kernel{layout: l, budget: budget{limited: limited}, typ: typ, table: map[int]identity{}}
	for i := range k.socks {
		k.socks[i] = &endpoint{open: true}
		k.table[l.socks[i]] = l.socketIdentity(i)
	}
	for i := range k.socks {
		k.socks[i].peer = k.socks[i^1]
	}
	return k
}

// do does the nth step, and says what has to come of it.
func (k *kernel) do(s *step, nth int) outcome {
	k.fresh = nil
	var o outcome
	switch s.op {
	case writeFD, send:
		o.msgs = k.outgoing(s, nth)
		o.n, o.err = k.send(s.sock, &o.msgs[0])
		if s.op == send {
			o.msgs[0].ClearResults()
			o.msgs[0].N, o.n = max(o.n, 0), 0
		}
	case sendBatch:
		o.msgs = k.outgoing(s, nth)
		o.n, o.err = k.sendBatch(s.sock, o.msgs[:min(len(o.msgs), msg.MaxBatch)])
	case readFD, recv, recvBatch:
		k.receive(s, &o)
		for _, n := range k.extra {
			_ = k.close(n)
		}
		k.extra = nil
	case closeNumber:
		o.err = k.close(s.sock)
		if o.err == nil {
			o.closed = append(o.closed, s.sock)
		}
	case closeAll:
		for n := range k.end {
			if _, ok := k.table[n]; ok && n > k.layout.socks[len(k.socks)-1] {
				_ = k.close(n)
				o.closed = append(o.closed, n)
			}
		}
	case setOption:
		e, err := k.endpoint(s.sock)
		if err != nil {
			o.err = unix.ENOTSOCK
			break
		}
		e.passcred = s.value != 0
	case fill:
		k.fill(s.value)
	}
	o.opened = k.fresh
	slices.SortFunc(o.opened, func(a, b opening) int { return cmp.Compare(a.fd, b.fd) })
	return o
}

// endpoint is the socket behind a number.
func (k *kernel) endpoint(n int) (*endpoint, error) {
	id, ok := k.table[n]
	if i := n - firstFile; i >= 0 && i < len(k.files) {
		id, ok = identity(i), true
	}
	switch i := int(id) - len(k.files); {
	case !ok || id >= 0 && i < 0 && k.files[id] == "path": // O_PATH
		return nil, unix.EBADF
	case i < 0:
		return nil, unix.ENOTSOCK
	default:
		return k.socks[i], nil
	}
}

// outgoing are the messages that are sent.
func (k *kernel) outgoing(s *step, nth int) []msg.Message {
	ms, at := s.given(), begin(nth)
	for i := range ms {
		ms[i].FDs = k.cut(ms[i].FDs)
		ms[i].Buffers, at = cut(s.msgs[i].buffers, pattern, at)
	}
	return ms
}

// refused is what a backend refuses.
func refused(m *msg.Message) error {
	switch {
	case len(m.FDs) > msg.MaxFDs:
		return unix.EINVAL
	case len(m.Buffers) > msg.MaxBuffers:
		return unix.EMSGSIZE
	}
	return nil
}

func (k *kernel) sendBatch(sock int, ms []msg.Message) (int, error) {
	for i := range ms {
		ms[i].ClearResults()
	}
	for i := range ms {
		if err := refused(&ms[i]); err != nil {
			return -1, err
		}
	}
	for i := range ms {
		n, err := k.send(sock, &ms[i])
		if err != nil && i == 0 {
			return -1, err
		}
		if err != nil {
			return i, nil
		}
		ms[i].N = n
	}
	return len(ms), nil
}

// send is sendmsg.
func (k *kernel) send(sock int, m *msg.Message) (int, error) {
	if err := refused(m); err != nil {
		return -1, err
	}
	e, err := k.endpoint(sock)
	if err != nil {
		return -1, err
	}
	if k.typ == unix.SOCK_SEQPACKET {
		if err := e.told(); err != nil {
			return -1, err
		}
	}
	p := &packet{data: slices.Concat(m.Buffers...), cred: noCred}
	for _, fd := range m.FDs {
		id, ok := k.file1(fd)
		if !ok {
			return -1, unix.EBADF
		}
		p.fds = append(p.fds, id)
	}
	switch {
	case e.end:
		return -1, unix.EPIPE
	case e.peer == nil:
		return -1, unix.ENOTCONN
	case !e.peer.open: // a datagram's: the pair is no more, and what came is lost
		e.peer, e.queue = nil, nil
		return -1, unix.ECONNREFUSED
	}
	if e.passcred || e.peer.passcred {
		p.cred = ownCred
	}
	// On a stream nothing is nothing, with descriptors or without.
	if k.typ != unix.SOCK_STREAM || len(p.data) > 0 {
		e.peer.queue = append(e.peer.queue, p)
	}
	return len(p.data), nil
}

// file1 is what a number holds that is passed.
func (k *kernel) file1(n int) (identity, bool) {
	if i := n - firstFile; i >= 0 && i < len(k.files) {
		if i < len(k.alike) {
			i = int(k.alike[i])
		}
		return identity(i), true
	}
	id, ok := k.table[n]
	return id, ok
}

// told is the error that waits for the next call.
func (e *endpoint) told() error {
	if e.reset {
		e.reset = false
		return unix.ECONNRESET
	}
	return nil
}

// receive does what receives.
func (k *kernel) receive(s *step, o *outcome) {
	o.msgs = s.given()
	o.payload = make([]byte, s.room())
	for i := range o.payload {
		o.payload[i] = staleByte
	}
	at := 0
	for i := range s.msgs {
		o.msgs[i].Buffers, at = cut(s.msgs[i].buffers, o.payload, at)
	}
	if s.op == readFD {
		k.readFD(s.sock, o)
		return
	}
	ms := o.msgs[:min(len(o.msgs), msg.MaxBatch)]
	for i := range ms {
		ms[i].ClearReceived()
	}
	for i := range ms {
		if o.err = refused(&ms[i]); o.err != nil {
			if s.op == recvBatch {
				o.n = -1
			}
			return
		}
	}
	if s.op == recv {
		o.err = k.recv(s.sock, &ms[0], s.flags, controlRoom(&ms[0]), len(ms[0].FDs))
		return
	}
	if len(ms) > 0 {
		if e, err := k.endpoint(s.sock); err == nil {
			if o.err = e.told(); o.err != nil {
				o.n = -1
				return
			}
		}
	}
	for i := range ms {
		if err := k.recv(s.sock, &ms[i], s.flags, controlRoom(&ms[i]), len(ms[i].FDs)); err != nil {
			if o.n == 0 {
				o.n, o.err = -1, err
			} else if e, _ := k.endpoint(s.sock); err == unix.ECONNRESET {
				e.reset = true // it is told by the next call
			}
			return
		}
		o.n++
	}
}

func (k *kernel) readFD(sock int, o *outcome) {
	one := [1]int{-1}
	m := msg.Message{Buffers: o.msgs[0].Buffers, FDs: one[:]}
	o.n, o.fd = -1, -1
	if o.err = k.recv(sock, &m, 0, unix.CmsgSpace(4), 1); o.err != nil {
		return
	}
	o.n = m.N
	switch {
	case m.Flags&unix.MSG_CTRUNC != 0:
		o.fd = -2
		if m.NFD == 1 {
			_ = k.close(one[0])
		}
	case m.NFD == 1:
		o.fd = int32(one[0])
	}
}

// controlRoom is the room that a message's receive gives the kernel.
func controlRoom(m *msg.Message) (room int) {
	if m.Cred != nil {
		room += unix.CmsgSpace(unix.SizeofUcred)
	}
	if len(m.FDs) > 0 {
		room += unix.CmsgLen(4 * len(m.FDs))
	}
	return room
}

// recv is recvmsg with so much room for control data, and what a backend makes
// of it where its caller has room for so many descriptors.
func (k *kernel) recv(sock int, m *msg.Message, flags, control, room int) error {
	e, err := k.endpoint(sock)
	if err != nil {
		return err
	}
	var fds []identity
	var cred *msg.Cred
	if k.typ == unix.SOCK_STREAM {
		fds, cred, err = e.recvStream(m, flags)
	} else {
		fds, cred, err = e.recvPacket(m, flags, k.typ)
	}
	if err != nil {
		return err
	}
	k.putControl(m, e.passcred, fds, cred, control, room)
	return nil
}

// size is how much a message's buffers hold.
func size(m *msg.Message) (n int) {
	for _, b := range m.Buffers {
		n += len(b)
	}
	return n
}

// scatter puts data where m's buffers have room for it behind the first n bytes.
func scatter(m *msg.Message, n int, data []byte) {
	for _, b := range m.Buffers {
		skip := min(n, len(b))
		n -= skip
		data = data[copy(b[skip:], data):]
	}
}

// recvStream takes bytes until there are no more, or until the first message with
// descriptors. With SO_PASSCRED it keeps those of different senders apart.
func (e *endpoint) recvStream(m *msg.Message, flags int) (fds []identity, cred *msg.Cred, err error) {
	peek := flags&unix.MSG_PEEK != 0
	left := size(m)
	at := 0
	for {
		if at == len(e.queue) {
			switch {
			case m.N > 0 && !peek && flags&unix.MSG_WAITALL != 0:
				_ = e.told() // and lost
			case m.N > 0 || at > 0:
			case e.reset:
				return nil, nil, e.told()
			case !e.end:
				return nil, nil, unix.EAGAIN
			case e.passcred: // of nobody, and not as where nobody attached any
				cred = &msg.Cred{}
			}
			return fds, cred, nil
		}
		p := e.queue[at]
		if cred != nil && *cred != p.cred {
			return fds, cred, nil
		}
		if e.passcred {
			cred = &p.cred
		}
		chunk := min(left, len(p.data))
		scatter(m, m.N, p.data[:chunk])
		m.N += chunk
		left -= chunk
		had := len(p.fds) > 0
		if had {
			fds = p.fds
		}
		if peek {
			at++
		} else {
			p.data, p.fds = p.data[chunk:], nil
			if len(p.data) > 0 {
				return fds, cred, nil
			}
			e.queue = e.queue[1:]
		}
		// A peek looks at the next message even where there is no room left.
		if had || left == 0 && !peek {
			return fds, cred, nil
		}
	}
}

// recvPacket takes one message; what does not fit is lost.
func (e *endpoint) recvPacket(m *msg.Message, flags, typ int) (fds []identity, cred *msg.Cred, err error) {
	if err := e.told(); err != nil {
		return nil, nil, err
	}
	if len(e.queue) == 0 {
		if typ == unix.SOCK_SEQPACKET && e.end {
			return nil, nil, nil
		}
		return nil, nil, unix.EAGAIN
	}
	p := e.queue[0]
	scatter(m, 0, p.data)
	m.N = min(size(m), len(p.data))
	if m.N < len(p.data) {
		m.Flags |= unix.MSG_TRUNC
	}
	if flags&unix.MSG_TRUNC != 0 {
		m.N = len(p.data)
	}
	if flags&unix.MSG_PEEK == 0 {
		e.queue = e.queue[1:]
	}
	if e.passcred {
		cred = &p.cred
	}
	return p.fds, cred, nil
}

// putControl hands over credentials and descriptors as far as there is room.
func (k *kernel) putControl(m *msg.Message, passcred bool, fds []identity, cred *msg.Cred, control, room int) {
	if control == 0 {
		if passcred && cred != nil || len(fds) > 0 {
			m.Flags |= unix.MSG_CTRUNC
		}
		return
	}
	if cred != nil {
		if control < unix.CmsgLen(unix.SizeofUcred) {
			m.Flags |= unix.MSG_CTRUNC
		} else if m.Cred != nil {
			*m.Cred = *cred
		}
		control = max(0, control-unix.CmsgSpace(unix.SizeofUcred))
	}
	fits := max(0, (control-unix.CmsgLen(0))/4)
	var came []int
	for _, id := range fds {
		n, ok := k.lowest()
		if len(came) == fits || !ok {
			m.Flags |= unix.MSG_CTRUNC
			break
		}
		k.table[n] = id
		k.fresh = append(k.fresh, opening{n, held{open: true, identity: id}})
		came = append(came, n)
	}
	m.NFD = copy(m.FDs[:room], came)
	if k.extra = append(k.extra, came[m.NFD:]...); len(came) > m.NFD {
		m.Flags |= unix.MSG_CTRUNC
	}
}

// lowest is the lowest free number.
func (k *kernel) lowest() (int, bool) {
	for n := k.first; n < k.layout.end; n++ {
		if _, ok := k.table[n]; !ok {
			return n, true
		}
	}
	return 0, false
}

// close closes a number.
func (k *kernel) close(n int) error {
	id, ok := k.table[n]
	if !ok {
		return unix.EBADF
	}
	delete(k.table, n)
	k.fresh = slices.DeleteFunc(k.fresh, func(o opening) bool { return o.fd == n })
	i := int(id) - len(k.files)
	if i < 0 {
		return nil
	}
	e := k.socks[i]
	e.open = false
	peer := e.peer
	if peer == nil || peer.peer != e || k.typ == unix.SOCK_DGRAM {
		return nil
	}
	peer.end = true
	peer.reset = peer.reset || len(e.queue) > 0
	// Is a message of no bytes unread data? To Linux 6.18 not if it is the first.
	k.unsure = k.unsure || len(e.queue) > 0 && len(e.queue[0].data) == 0
	return nil
}

// fill leaves only so many numbers free, the uppermost.
func (k *kernel) fill(free int) {
	var fresh []int
	for n, ok := k.lowest(); ok; n, ok = k.lowest() {
		k.table[n] = filling
		fresh = append(fresh, n)
	}
	for _, n := range fresh[max(0, len(fresh)-free):] {
		delete(k.table, n)
	}
}
