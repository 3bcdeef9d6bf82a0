// Package framed supports protocols that send messages over a byte stream and pass descriptors with
// some of the messages: D-Bus, varlink, Wayland, ttrpc, vhost-user, QMP and others.
//
// Reading from a [scm.Conn] with [io.ReadFull] or a [bufio.Reader] loses descriptors. A [Reader] keeps
// the descriptors that it receives in a queue, and the caller takes the descriptors of each message
// from it. When the caller has read a whole message, the queue contains all descriptors of that
// message, followed by those of any messages that were read ahead.
//
// # Messages that announce a count
//
// If a message states how many descriptors it has, or its type implies the count, pass the count to
// [Reader.Take]:
//
//	r := framed.NewReader(conn, framed.Limits{})
//	defer r.Close()
//	in := bufio.NewReader(r)
//	header, body := …             // read from in with io.ReadFull
//	files, err := r.Take(header.files)
//
// Take returns the right descriptors however the sender divides its messages into sendmsg(2) calls, as
// long as the sender sends the descriptors of a message with a byte of that message or of an earlier
// one.
//
// To hand the connection on after a message, do not use a [bufio.Reader]. Read single bytes up to the end
// of the message, take its files, and close the Reader: everything that follows is still in the socket,
// with its descriptors. If you stop within a message, its files may already be in the queue.
//
// # Messages without a count
//
// Messages in the varlink and JSON lines formats do not state how many descriptors they have. Read a
// message up to its end, including the terminator, and pass the stream offset of the end to
// [Reader.TakeUpTo]:
//
//	message, err := in.ReadBytes(0)
//	files, err := r.TakeUpTo(r.Offset() - int64(in.Buffered()))
//
// A receive that returns descriptors does not say which of its bytes they were sent with. Which
// message a descriptor belongs to depends on the system:
//
//   - On Linux, a receive that returns descriptors ends within the bytes of the sendmsg call that
//     passed them. If each sendmsg call carries one message, or part of one, the descriptors belong to
//     the message that contains the last byte received with them.
//   - On the BSDs and macOS, a receive that returns descriptors begins with the bytes of the sendmsg
//     call that passed them. The descriptors belong to the message that contains the first byte
//     received with them. This rule has been tested on NetBSD and FreeBSD 14. For the other systems, it
//     comes from their source code.
//
// TakeUpTo applies the rule for the system it runs on, so the end of every message is a safe offset.
//
// If a sender puts several messages into one sendmsg call, the owner of a descriptor cannot be
// determined from offsets. systemd's sd-varlink does this in version 257: a sendmsg call can contain
// messages without descriptors, or the rest of one, before a message with descriptors, but nothing
// after that message. (Version 262 sends each message with descriptors in a separate sendmsg call.) On
// Linux, TakeUpTo therefore never returns a file from sd-varlink too late. It returns a file too early,
// with a message before the one that owns it, if a Read ended in the middle of such a sendmsg call:
// either p was full, or Linux split a sendmsg call of more than 32 KiB. Use a buffer that is larger
// than what the partner sends at once:
//
//	in := bufio.NewReaderSize(r, 1<<16)
//
// If the partner may send more than 32 KiB at once, the only safe offset is the end of a message after
// which the partner waits for an answer. If the messages refer to their descriptors, for example
// because a varlink method takes the index of a descriptor as a parameter, count the indexes and use
// Take, which is always correct.
//
// In the other direction, sd-varlink assigns descriptors to the first message of the receive that
// returned them. If its buffer contains an incomplete message before them, it ends the connection with
// EPROTO. Before you send a message with descriptors to sd-varlink, wait for the answers to all earlier
// messages.
//
// # Timeouts
//
// After a timeout, a Reader and a [bufio.Reader] can be used again, but every later call of an
// [encoding/json.Decoder] or a [bufio.Writer] returns the same error. A Reader for conn.WithContext(ctx)
// cannot be used after ctx is done. To limit the time for a single message, set a deadline on conn.
package framed

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// lastByteOwns is true if descriptors belong to the message that contains the last byte of a receive,
// and false if they belong to the message that contains the first byte.
const lastByteOwns = runtime.GOOS == "linux" || runtime.GOOS == "android"

// Limits limit the number of descriptors that a partner can make this process hold. A negative limit allows
// no descriptors.
type Limits struct {
	// Message is the maximum number of descriptors that a call to Take or TakeUpTo returns. 0 means
	// [scm.MaxFDs].
	Message int

	// Waiting is the maximum number of descriptors in the queue. 0 means Message plus [scm.MaxFDs], where a
	// negative Message counts as 0: the descriptors of one message, and those that a single Read can
	// receive with its last byte. If Waiting is lower and you read ahead, even a partner that obeys Message
	// can fill the queue, and Read then fails.
	Waiting int
}

// ClaimError is returned by Take for a negative number, or if the queue contains fewer descriptors, and by Take
// and TakeUpTo if a message has more descriptors than [Limits].Message allows. The queue is unchanged.
type ClaimError struct {
	Claimed int // the number of descriptors of the message
	Waiting int // the number of descriptors in the queue
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

// waitingError is returned by a Read call that received more descriptors than [Limits].Waiting allows.
type waitingError struct {
	most int
	err  error // a TruncatedError, whose own message would blame the sender
}

func (e *waitingError) Error() string {
	return fmt.Sprintf("framed: more than %d descriptors are queued (Limits.Waiting)", e.most)
}

func (e *waitingError) Unwrap() error { return e.err }

// Reader reads a stream and queues the descriptors received with it until the caller takes them. Only
// one goroutine may call Read at a time. Any goroutine may call the other methods, also during a Read:
// net/http, for example, reads ahead while a handler calls Take. For [Limits].Waiting, a Read counts the
// descriptors that are in the queue when it begins.
type Reader struct {
	conn   *scm.Conn
	limits Limits

	in      scm.Message // reused by Read, so that it does not allocate
	buffers [1][]byte
	fds     []int

	mu     sync.Mutex
	offset int64 // bytes received
	queue  []waitingFile
	err    error // returned by all later calls
}

// A waitingFile is a received file that the caller has not taken yet.
type waitingFile struct {
	*os.File
	owner int64 // the offset of a byte of the message that the file belongs to
}

// NewReader returns a Reader that reads from conn, which must be a stream. The Reader borrows conn: the
// caller must close it, and nothing else may receive from it. conn's [scm.Config].Expect applies to
// each receive, except that its Min is ignored, because messages arrive in pieces.
// [scm.Config].KeepTruncated has no effect.
//
// SO_PASSPIDFD must not be set on the socket, because it makes every receive look truncated. SO_PASSCRED
// takes the space of up to 8 descriptors, and SO_INQ that of up to 6. A receive then looks truncated if
// the message has nearly 253 descriptors, or nearly as many as Limits.Waiting still allows.
func NewReader(conn *scm.Conn, limits Limits) *Reader {
	if limits.Message == 0 {
		limits.Message = scm.MaxFDs
	}
	limits.Message = max(limits.Message, 0)
	if limits.Waiting == 0 {
		limits.Waiting = min(limits.Message, math.MaxInt-scm.MaxFDs) + scm.MaxFDs
	}
	limits.Waiting = max(limits.Waiting, 0)
	return &Reader{conn: conn, limits: limits, fds: make([]int, min(limits.Waiting, scm.MaxFDs))}
}

// Read receives up to len(p) bytes with a single recvmsg(2) call, and adds the descriptors received
// with them to the queue. At the end of the stream, it returns [io.EOF]. The descriptors in the queue
// can still be taken after that.
//
// Other errors are those of [scm.Conn.Recv]. If n is 0, as after a timeout, and the error does not
// report lost descriptors, nothing has changed, and Read can be called again.
//
// If descriptors were lost, Read closes all descriptors that it received and all that are in the queue.
// It returns the number of bytes received and an error that wraps a [scm.TruncatedError] or, if
// [scm.Config].Expect rejected the descriptors, a [scm.ExpectError]. All later calls to Read, Take and
// TakeUpTo return the same error. If the reason was Limits.Waiting, the error names it.
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
	case err == nil, !isLoss(err):
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
		cause = r.truncationCause(nfd, capacity)
	case m.Flags&sys.MsgTrunc != 0: // the socket is not a stream
		cause = io.ErrShortBuffer
	default:
		if files, err = m.Files(); err == nil {
			return m.N, files, nil
		}
		cause = err
	}
	scm.CloseFDs(m.FDs[:nfd]...) // m.Close may call close_range(2)
	err = &scm.TruncatedError{N: m.N, Received: nfd, Room: capacity, Cause: cause}
	if capacity < scm.MaxFDs && cause == error(sys.EMSGSIZE) {
		err = &waitingError{r.limits.Waiting, err}
	}
	return m.N, nil, err
}

// truncationCause returns why a receive lost descriptors, or nil if the cause is not known. The received
// descriptors must still be open.
func (r *Reader) truncationCause(received, capacity int) (cause error) {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(sock uintptr) { cause = sys.TruncationCause(int(sock), received, capacity) })
	return cause
}

// isLoss reports whether err means that descriptors were lost.
func isLoss(err error) bool {
	var truncated *scm.TruncatedError
	var rejected *scm.ExpectError
	return errors.As(err, &truncated) || errors.As(err, &rejected)
}

// Take removes the next n files from the queue and returns them. The caller must close them. On error,
// Take returns no files. The error is a [ClaimError], the error from a Read that lost descriptors, or
// [os.ErrClosed] after Close.
func (r *Reader) Take(n int) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(n)
}

// TakeUpTo removes the files that belong to the first offset bytes of the stream from the queue and
// returns them. The caller must close them. Call it with the offset of the end of every message,
// including the terminator, to get the files of that message. The package documentation explains which
// offsets are safe.
//
// Offsets are counted from the first byte that the Reader received. The offset of the end of the
// message that the caller has just read is
//
//   - r.Offset(), if there is no buffer between the Reader and the caller
//   - r.Offset() - int64(in.Buffered()), if the caller reads from in, a [bufio.Reader]
//   - decoder.InputOffset() + 1, if the caller uses decoder, an [encoding/json.Decoder], and a one-byte
//     terminator follows each message
//
// On error, TakeUpTo returns no files. The error is a [ClaimError] if there are more files than
// [Limits].Message allows, the error from a Read that lost descriptors, or [os.ErrClosed] after Close.
func (r *Reader) TakeUpTo(offset int64) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.queue) && r.queue[n].owner < offset {
		n++
	}
	return r.take(n)
}

// take implements Take. r.mu must be held.
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

// Waiting returns the number of descriptors in the queue. If the caller does not read ahead, and
// descriptors are still in the queue after it has called Take for a message, the partner sent more
// descriptors than the message announced.
func (r *Reader) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// Close closes the descriptors in the queue and any that a concurrent Read still receives. The connection
// stays open. All later calls to Read, Take and TakeUpTo return [os.ErrClosed] or, if a Read lost
// descriptors before, the error of that Read. Close always returns nil.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(os.ErrClosed)
	return nil
}

// fail makes all later calls return err, unless they already return an earlier error. r.mu must be
// held.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.closeQueue()
}

func (r *Reader) closeQueue() {
	for _, f := range r.queue {
		_ = f.Close() // the caller never received the file
	}
	r.queue = nil
}

// Writer writes to a stream and passes descriptors with the bytes. Only one goroutine may use it at a
// time.
type Writer struct {
	conn     *scm.Conn
	attached []syscall.Conn
}

// NewWriter returns a Writer that writes to conn, which must be a stream. The Writer borrows conn: the
// caller must close it.
func NewWriter(conn *scm.Conn) *Writer { return &Writer{conn: conn} }

// Attach makes the next Write send the files with its first byte. The caller still owns the files and
// must keep them open until that Write has returned. If you write through a [bufio.Writer], flush it
// before you call Attach. Otherwise the files are sent with the bytes in its buffer. If the partner
// determines the owner of a descriptor by its offset, as TakeUpTo does, write each message with a
// single call to Write.
//
// If more than [scm.MaxFDs] files would be attached, Attach returns [scm.ErrTooManyFDs], and if a file is
// nil it returns [os.ErrInvalid]. It then attaches none of the new files.
func (w *Writer) Attach(files ...*os.File) error {
	sockets := make([]syscall.Conn, len(files))
	for i, f := range files {
		sockets[i] = f
	}
	return w.AttachSockets(sockets...)
}

// AttachSockets is like [Writer.Attach], but takes listeners and connections of package net or package scm,
// or other types with a SyscallConn method. The next Write sends their descriptors. It does not duplicate
// them and does not change O_NONBLOCK. If a socket is nil, AttachSockets returns [os.ErrInvalid]. If one is
// closed, Write returns an error that wraps [os.ErrClosed], and sends nothing. If one of another type provides
// no descriptor, the error wraps os.ErrInvalid. A call to Close on a listener or connection waits until
// Write has returned.
//
// Closing a Unix listener removes its socket file. If the other process continues to use the listener, call
// its SetUnlinkOnClose method.
func (w *Writer) AttachSockets(sockets ...syscall.Conn) error {
	if len(w.attached)+len(sockets) > scm.MaxFDs {
		return scm.ErrTooManyFDs
	}
	for _, s := range sockets {
		v := reflect.ValueOf(s)
		missing := !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
		switch s := s.(type) {
		case *scm.Conn:
			missing = missing || s.UnixConn == nil
		case *scm.Listener:
			missing = missing || s.UnixListener == nil
		}
		if missing {
			return os.ErrInvalid // otherwise every later Write would fail
		}
	}
	w.attached = append(w.attached, sockets...)
	return nil
}

// Write sends all of p and what is attached, as [scm.Conn.WriteFiles] does, or nothing if p is empty. An
// error about what AttachSockets attached is not always a [*net.OpError]. If n is 0, as after a timeout, the
// descriptors were not sent and are still attached.
func (w *Writer) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err = w.send(p)
	if n > 0 {
		clear(w.attached)
		w.attached = w.attached[:0]
	}
	return n, err
}

// send sends p and what is attached.
func (w *Writer) send(p []byte) (n int, err error) {
	files := make([]*os.File, len(w.attached))
	for i, s := range w.attached {
		f, isFile := s.(*os.File)
		if !isFile {
			return w.sendHolding(p)
		}
		files[i] = f
	}
	return w.conn.WriteFiles(p, files...)
}

// sendHolding sends p and the descriptors of what is attached.
func (w *Writer) sendHolding(p []byte) (n int, err error) {
	i, err := sys.Hold(w.attached, func(fds []int) (err error) {
		n, err = w.conn.WriteFDs(p, fds...)
		return err
	})
	if i < len(w.attached) {
		err = fmt.Errorf("framed: attached socket %d: %w", i, err)
	}
	return n, err
}

var (
	_ io.ReadCloser = (*Reader)(nil)
	_ io.Writer     = (*Writer)(nil)
)
