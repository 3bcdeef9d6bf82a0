// Package framed is for protocols that send messages as bytes of a stream and pass descriptors with
// some of the messages: D-Bus, varlink, Wayland, ttrpc, vhost-user, QMP and others.
//
// [io.ReadFull] and [bufio.Reader] over a [scm.Conn] lose descriptors. A [Reader] keeps the
// descriptors that it receives in a queue, from which the caller takes those of each message.
// When the caller has read the whole of a message, all descriptors of the message are in the queue.
// Descriptors of messages that were read ahead follow them.
//
// # Messages that announce a count
//
// If a message says how many descriptors it has, or its type implies the count, pass the count to
// [Reader.Take]:
//
//	r := framed.NewReader(conn, framed.Limits{})
//	defer r.Close()
//	in := bufio.NewReader(r)
//	header, body := …             // read from in with io.ReadFull
//	files, err := r.Take(header.files)
//
// Take is correct however the sender divides its messages into sendmsg(2) calls, as long as it sends
// the descriptors of a message with a byte of that message or of an earlier one.
//
// # Messages without a count
//
// Messages of varlink and JSON lines do not say how many descriptors they have. Read a message to
// its end, terminator included, and pass the stream offset of its end to [Reader.TakeUpTo]:
//
//	message, err := in.ReadBytes(0)
//	files, err := r.TakeUpTo(r.Offset() - int64(in.Buffered()))
//
// The kernel does not report which byte a descriptor was sent with. It reports only which receive
// returned the descriptor. Which message owns it depends on the system:
//
//   - On Linux, a receive ends within the bytes of the sendmsg that passed descriptors. If each sendmsg
//     carries one message, or a part of one, the descriptors belong to the message that contains the
//     last byte received with them.
//   - On the BSDs and macOS, a receive that returns descriptors begins with the bytes of their sendmsg.
//     The descriptors belong to the message that contains the first byte received with them. This is
//     taken from the sources of these systems. It has not been run there.
//
// TakeUpTo applies the rule of the system it runs on, so the end of every message is a safe offset.
//
// If a sender puts several messages into one sendmsg, no offset determines the owner. systemd's
// sd-varlink does so in version 257: before a message with descriptors, the same sendmsg can have
// messages without descriptors, or the rest of one, but nothing follows it. (Version 262 sends each message
// with descriptors in a sendmsg of its own.) On Linux, TakeUpTo therefore never returns a file of
// sd-varlink too late. It returns one too early, with a message before the owner, if a Read ended inside
// such a sendmsg: because p was full, or because Linux split a sendmsg of more than 32 KiB. Use a buffer that
// is larger than what the partner sends at once:
//
//	in := bufio.NewReaderSize(r, 1<<16)
//
// If the partner may send more than 32 KiB at once, the only safe offset is the end of a message after which
// it waits for an answer. If the messages refer to their descriptors, as varlink methods do that take the
// index of a descriptor as a parameter, count the indexes and use Take, which is always correct.
//
// In the other direction, sd-varlink gives descriptors to the first message of the receive that returned
// them. It ends the connection with EPROTO if an unfinished message precedes them in its buffer. Before
// you send it a message with descriptors, wait for the answers to all earlier messages.
package framed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// lastByteOwns is whether descriptors belong to the message with the last byte of a receive, not
// to that with the first.
const lastByteOwns = runtime.GOOS == "linux" || runtime.GOOS == "android"

// Limits limit the number of descriptors that a partner can make this process hold. 0 means
// [scm.MaxFDs]. A negative limit allows no descriptor.
type Limits struct {
	Message int // the most descriptors that one Take or TakeUpTo returns
	Waiting int // the most descriptors in the queue
}

// ClaimError is returned by Take if the queue has fewer descriptors than requested, and by Take and
// TakeUpTo if a message has more than [Limits].Message. The queue is unchanged.
type ClaimError struct {
	Claimed int // the descriptors of the message
	Waiting int // the descriptors in the queue
	Most    int // [Limits].Message
}

func (e *ClaimError) Error() string {
	switch {
	case e.Claimed < 0:
		return fmt.Sprintf("framed: invalid number of descriptors: %d", e.Claimed)
	case e.Claimed > e.Most:
		return fmt.Sprintf("framed: message claims %d descriptors, but Limits.Message allows only %d", e.Claimed, e.Most)
	}
	return fmt.Sprintf("framed: message claims %d descriptors, but the queue has only %d", e.Claimed, e.Waiting)
}

// waitingError is returned by a Read that received more descriptors than [Limits].Waiting allows.
type waitingError struct {
	most int
	err  error // a TruncatedError, whose text would blame the sender
}

func (e *waitingError) Error() string {
	return fmt.Sprintf("framed: more than %d descriptors are queued (Limits.Waiting)", e.most)
}

func (e *waitingError) Unwrap() error { return e.err }

// Reader reads a stream and queues the descriptors received with it until the caller takes them. Only
// one goroutine may call Read, Take and TakeUpTo. Close may be called from any goroutine.
type Reader struct {
	conn   *scm.Conn
	limits Limits

	in      scm.Message // of a Read, kept so that a Read does not allocate one
	buffers [1][]byte
	fds     []int

	mu     sync.Mutex
	offset int64 // bytes received
	queue  []waitingFile
	err    error // returned by all later calls
}

// waitingFile is a received file that no message has taken yet.
type waitingFile struct {
	*os.File
	owner int64 // the offset of a byte of the message that the file belongs to
}

// NewReader returns a Reader of conn, which must be a stream. The Reader borrows conn: the caller closes
// it, and nothing else may receive from it. The conn's [scm.Config].Expect applies to each receive, except
// for Min, because messages arrive in pieces. [scm.Config].KeepTruncated has no effect.
//
// The socket must not have the options SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ: their control
// messages make a receive look truncated.
func NewReader(conn *scm.Conn, limits Limits) *Reader {
	for _, limit := range []*int{&limits.Message, &limits.Waiting} {
		if *limit == 0 {
			*limit = scm.MaxFDs
		}
		*limit = max(*limit, 0)
	}
	return &Reader{conn: conn, limits: limits, fds: make([]int, min(limits.Waiting, scm.MaxFDs))}
}

// Read receives up to len(p) bytes with one recvmsg(2), and adds the descriptors received with them to the
// queue. At the end of the stream it returns [io.EOF]. After that, the descriptors in the queue can
// still be taken.
//
// Other errors are those of [scm.Conn.Recv]. If n is 0, as after a timeout, an error changes nothing
// unless it reports lost descriptors, and Read can be called again.
//
// If descriptors were lost, Read closes all descriptors of the receive and of the queue. It returns the
// n bytes received and an error that wraps a [scm.TruncatedError] or, if [scm.Config].Expect rejected the
// descriptors, a [scm.ExpectError]. All later calls of Read, Take and TakeUpTo return the same error. If
// the reason was Limits.Waiting, the error names it.
func (r *Reader) Read(p []byte) (n int, err error) {
	r.mu.Lock()
	capacity, err := min(r.limits.Waiting-len(r.queue), scm.MaxFDs), r.err
	r.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	n, files, err := r.receive(p, capacity)
	r.mu.Lock()
	defer r.mu.Unlock()
	owner := r.offset
	if lastByteOwns {
		owner += int64(max(n-1, 0))
	}
	r.offset += int64(n)
	for _, f := range files {
		r.queue = append(r.queue, waitingFile{f, owner})
	}
	switch {
	case r.err != nil: // Close was called during the receive
		r.closeQueue()
		return n, r.err
	case err == nil, n == 0 && !isLoss(err):
		return n, err
	}
	r.fail(err)
	return n, err
}

// receive receives up to len(p) bytes and at most capacity files. It closes all descriptors if any
// were lost.
func (r *Reader) receive(p []byte, capacity int) (n int, files []*os.File, err error) {
	m := &r.in
	r.buffers[0] = p
	*m = scm.Message{Buffers: r.buffers[:], FDs: r.fds[:capacity]}
	err = r.conn.Recv(m, 0)
	r.buffers[0] = nil
	if err != nil {
		return m.N, nil, err
	}
	nfd, cause := m.NFD, error(nil)
	switch {
	case m.N == 0 && nfd == 0: // MSG_CTRUNC has no meaning here: with SO_PASSCRED, Linux sets it at the end
		return 0, nil, io.EOF
	case m.Truncated():
		cause = r.whyTruncated(nfd, capacity)
	case m.Flags&sys.MsgTrunc != 0: // the socket is not a stream
		cause = io.ErrShortBuffer
	default:
		if files, err = m.Files(); err == nil {
			return m.N, files, nil
		}
		cause = err
	}
	m.CloseFDs()
	err = &scm.TruncatedError{N: m.N, Received: nfd, Room: capacity, Cause: cause}
	if capacity < scm.MaxFDs && cause == error(sys.EMSGSIZE) {
		err = &waitingError{r.limits.Waiting, err}
	}
	return m.N, nil, err
}

// whyTruncated returns the reason why descriptors are missing, as far as it can be found out while
// those that were received are open.
func (r *Reader) whyTruncated(received, capacity int) error {
	if received == capacity {
		return sys.EMSGSIZE
	}
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return nil
	}
	var full error
	_ = raw.Control(func(sock uintptr) {
		var fd int
		if fd, full = sys.Dup(int(sock)); full == nil {
			sys.Close(fd)
		}
	})
	return full
}

// isLoss reports whether err means that descriptors were lost.
func isLoss(err error) bool {
	var truncated *scm.TruncatedError
	var rejected *scm.ExpectError
	return errors.As(err, &truncated) || errors.As(err, &rejected)
}

// Take returns the next n files of the queue, which the caller must close. On error it returns none. The
// error is a [ClaimError], the error of a Read that lost descriptors, or [os.ErrClosed] after Close.
func (r *Reader) Take(n int) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(n)
}

// TakeUpTo returns the files of the queue that belong to the first offset bytes of the stream. The
// caller must close them. Call it with the offset of the end of each message, terminator included, to
// get the files of that message. The package documentation explains which offsets are safe.
//
// Offsets count from the first byte that the Reader received. The offset of the end of the message that
// the caller has just read is
//
//   - r.Offset() without a buffer between the Reader and the caller
//   - r.Offset() - int64(in.Buffered()) with a [bufio.Reader]
//   - decoder.InputOffset() + 1 with an [encoding/json.Decoder], if a one-byte terminator follows each
//     message
//
// On error TakeUpTo returns no file. The error is a [ClaimError] if there are more than [Limits].Message,
// the error of a Read that lost descriptors, or [os.ErrClosed] after Close.
func (r *Reader) TakeUpTo(offset int64) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.queue) && r.queue[n].owner < offset {
		n++
	}
	return r.take(n)
}

// take is Take. r.mu is held.
func (r *Reader) take(n int) ([]*os.File, error) {
	switch {
	case r.err != nil:
		return nil, r.err
	case n < 0 || n > r.limits.Message || n > len(r.queue):
		return nil, &ClaimError{Claimed: n, Waiting: len(r.queue), Most: r.limits.Message}
	case n == 0:
		return nil, nil
	}
	taken := make([]*os.File, n)
	for i, f := range r.queue[:n] {
		taken[i] = f.File
	}
	kept := copy(r.queue, r.queue[n:])
	clear(r.queue[kept:])
	r.queue = r.queue[:kept]
	return taken, nil
}

// Offset returns the number of bytes that Read has received.
func (r *Reader) Offset() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offset
}

// Waiting returns the number of descriptors in the queue. If the protocol reads nothing ahead, those
// left after the Take for a message are more than the message announced.
func (r *Reader) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// Close closes the descriptors in the queue and any that a concurrent Read still receives. All later
// calls of Read, Take and TakeUpTo return [os.ErrClosed]. The connection stays open. The error is always
// nil.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(os.ErrClosed)
	return nil
}

// fail makes all later calls return err, unless an earlier error does. r.mu is held.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.closeQueue()
}

func (r *Reader) closeQueue() {
	for _, f := range r.queue {
		_ = f.Close() // the caller never had the file
	}
	r.queue = nil
}

// Writer writes a stream and passes descriptors with it. Only one goroutine may use it at a time.
type Writer struct {
	conn  *scm.Conn
	files []*os.File
}

// NewWriter returns a Writer to conn, which must be a stream. The Writer borrows conn: the caller closes
// it.
func NewWriter(conn *scm.Conn) *Writer { return &Writer{conn: conn} }

// Attach makes the next Write send the files with its first byte. The files still belong to the
// caller, who must keep them open until that Write has returned. If a [bufio.Writer] is in use, flush it
// before the call, because the files would otherwise be sent with the bytes in its buffer. For a partner
// that identifies the owner by the offset, such as a Reader's TakeUpTo, write each message with one Write.
//
// The error is [scm.ErrTooManyFDs] if more than [scm.MaxFDs] files are attached. Then none of these
// files is attached.
func (w *Writer) Attach(files ...*os.File) error {
	if len(w.files)+len(files) > scm.MaxFDs {
		return scm.ErrTooManyFDs
	}
	w.files = append(w.files, files...)
	return nil
}

// Write sends all of p and the attached files, as [scm.Conn.WriteFiles] does. Errors are those of
// WriteFiles. If n is 0, as after a timeout, the files were not sent and are still attached.
func (w *Writer) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err = w.conn.WriteFiles(p, w.files...)
	if n > 0 {
		clear(w.files)
		w.files = w.files[:0]
	}
	return n, err
}

var (
	_ io.ReadCloser = (*Reader)(nil)
	_ io.Writer     = (*Writer)(nil)
)
