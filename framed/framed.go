// Package framed is for protocols whose messages are bytes of a stream, with descriptors beside
// some of them: D-Bus, varlink, Wayland, ttrpc, vhost-user, QMP and others.
//
// [io.ReadFull] and [bufio.Reader] over a [scm.Conn] lose descriptors. Over a [Reader] they do not:
// it keeps the descriptors in a queue, and the protocol takes those of each message:
//
//	r := framed.NewReader(conn, framed.Limits{})
//	defer r.Close()
//	in := bufio.NewReader(r)
//	header, body := …             // by io.ReadFull(in, …)
//	files, err := r.Take(header.files)
//
// When a message was read whole, all its descriptors are in the queue. Those of messages that were
// read ahead are behind them.
package framed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Limits are how many descriptors a partner may have this process hold. 0 is [scm.MaxFDs].
type Limits struct {
	Message int // that one Take may ask for
	Waiting int // that may wait for a Take
}

// A ClaimError is of a Take for which there are not as many descriptors, or more than
// [Limits].Message. Nothing was taken.
type ClaimError struct {
	Claimed int // by the message
	Waiting int // in the queue
	Most    int // [Limits].Message
}

func (e *ClaimError) Error() string {
	switch {
	case e.Claimed < 0:
		return fmt.Sprintf("framed: a message claims %d descriptors", e.Claimed)
	case e.Claimed > e.Most:
		return fmt.Sprintf("framed: a message claims %d descriptors, more than %d (Limits.Message)", e.Claimed, e.Most)
	}
	return fmt.Sprintf("framed: a message claims %d descriptors, but the queue has %d", e.Claimed, e.Waiting)
}

// A waitingError is of a Read that received more descriptors than [Limits].Waiting admits.
type waitingError struct {
	most int
	err  error // the TruncatedError, whose text would blame the sender
}

func (e *waitingError) Error() string {
	return fmt.Sprintf("framed: more than %d descriptors are waiting (Limits.Waiting); all are closed", e.most)
}

func (e *waitingError) Unwrap() error { return e.err }

// A Reader reads a stream, and keeps the descriptors that come with it until they are taken. One
// goroutine reads and takes; Close may come from any.
type Reader struct {
	conn   *scm.Conn
	limits Limits

	mu    sync.Mutex
	files []*os.File
	err   error // after which nothing is received or handed out
}

// NewReader makes a Reader of a stream. Nobody else may receive from conn, which stays the
// caller's to close.
func NewReader(conn *scm.Conn, limits Limits) *Reader {
	for _, limit := range []*int{&limits.Message, &limits.Waiting} {
		if *limit == 0 {
			*limit = scm.MaxFDs
		}
	}
	return &Reader{conn: conn, limits: limits}
}

// Read receives up to len(p) bytes, with one recvmsg(2), and the descriptors beside them. Errors
// are those of [scm.Conn.ReadFiles]; with no bytes, one that is a timeout leaves all as it was. With
// [io.EOF] what waits can still be taken.
//
// If descriptors are missing, Read closes all that wait and returns an error that wraps a
// [scm.TruncatedError]. From then on Take and Read return this error. It names Limits.Waiting if
// more descriptors were received than that admits. n bytes were received.
func (r *Reader) Read(p []byte) (n int, err error) {
	r.mu.Lock()
	room, err := min(r.limits.Waiting-len(r.files), scm.MaxFDs), r.err
	r.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	n, files, err := r.conn.ReadFiles(p, room)
	if err != nil && room < scm.MaxFDs {
		err = r.namesLimit(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, files...)
	switch {
	case r.err != nil: // it was closed meanwhile
		r.closeWaiting()
		return n, r.err
	case err == nil, n == 0 && files == nil && !isLoss(err):
		return n, err
	}
	r.fail(err)
	return n, err
}

// namesLimit returns err, or a waitingError if the message had more descriptors than may wait.
func (r *Reader) namesLimit(err error) error {
	var truncated *scm.TruncatedError
	if errors.As(err, &truncated) && errors.Is(truncated.Cause, sys.EMSGSIZE) {
		return &waitingError{r.limits.Waiting, err}
	}
	return err
}

// isLoss tells whether descriptors are missing.
func isLoss(err error) bool {
	var truncated *scm.TruncatedError
	var refused *scm.ExpectError
	return errors.As(err, &truncated) || errors.As(err, &refused)
}

// Take returns the next n descriptors, which are then the caller's to close. The error is a
// [ClaimError], that of a Read which lost descriptors, or [os.ErrClosed].
func (r *Reader) Take(n int) ([]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return nil, r.err
	case n < 0 || n > r.limits.Message || n > len(r.files):
		return nil, &ClaimError{Claimed: n, Waiting: len(r.files), Most: r.limits.Message}
	case n == 0:
		return nil, nil
	}
	taken := append([]*os.File(nil), r.files[:n]...)
	r.files = append(r.files[:0], r.files[n:]...)
	return taken, nil
}

// Waiting returns how many descriptors are in the queue. If the protocol reads nothing ahead, those
// that are left after a message's Take are more than it announced.
func (r *Reader) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.files)
}

// Close closes the descriptors in the queue, and those that a Read still receives. The connection
// stays open. The error is always nil.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(os.ErrClosed)
	return nil
}

// fail makes err what Read and Take return from now on. r.mu is held.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.closeWaiting()
}

func (r *Reader) closeWaiting() {
	for _, f := range r.files {
		_ = f.Close() // received, and used by nobody
	}
	r.files = nil
}

// A Writer sends a stream, and descriptors beside it. One goroutine uses it.
type Writer struct {
	conn  *scm.Conn
	files []*os.File
}

// NewWriter makes a Writer to a stream, which stays the caller's to close.
func NewWriter(conn *scm.Conn) *Writer { return &Writer{conn: conn} }

// Attach has the files sent with the first byte of the next Write. They stay open and the caller's,
// and have to until that is done. Behind a [bufio.Writer], flush it before: what it holds goes first.
// The error is [scm.ErrTooManyFDs].
func (w *Writer) Attach(files ...*os.File) error {
	if len(w.files)+len(files) > scm.MaxFDs {
		return scm.ErrTooManyFDs
	}
	w.files = append(w.files, files...)
	return nil
}

// Write sends all of p, as [scm.Conn.WriteFiles]. If n is 0, as after a timeout, the files are still
// to be sent.
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
