package httpdrain

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// headerBuffer is how many bytes of a body net/http keeps before it sends the header of an HTTP/1 response.
const headerBuffer = 2048

// sniffed is how many bytes net/http copies before it sends them, with the header, and lets a connection without TLS
// read from a file.
const sniffed = 512

// panicTime is how long an HTTP/2 client may take to receive what a handler has written before it panicked.
const panicTime = 500 * time.Millisecond

// common has the methods that the ResponseWriters of net/http have for each protocol.
type common interface {
	http.ResponseWriter
	io.StringWriter
	http.Flusher
	FlushError() error
	CloseNotify() <-chan bool
	SetReadDeadline(deadline time.Time) error
	SetWriteDeadline(deadline time.Time) error
	EnableFullDuplex() error
}

// A writer asks the client to close its connection if the drain begins before the handler writes the header. net/http
// copies the header at that point, so setting it later has no effect. The writer that a handler gets must have the
// same methods as the original, because handlers check for them.
type writer struct {
	common
	server *Server
	wrote  bool // the header has been written
	asked  bool // the client has been asked to close, or must not be because it switches protocols
	sent   int  // bytes of the body, or more than headerBuffer if the header has been sent
}

// readsFrom is the key of a value in the context of a connection: whether it is an io.ReaderFrom.
type readsFrom struct{}

// An http1Writer is a writer for HTTP/1.
type http1Writer struct {
	*writer
	http.Hijacker
	from  io.ReaderFrom
	sends bool // the header after sniffed bytes of ReadFrom, because the connection has that method too
}

// An http2Writer is a writer for HTTP/2.
type http2Writer struct {
	*writer
	http.Pusher
}

// wrap returns a ResponseWriter for the handler. The writer is nil if the ResponseWriter is not
// net/http's own.
func (s *Server) wrap(original http.ResponseWriter, r *http.Request) (*writer, http.ResponseWriter) {
	all, ok := original.(common)
	if !ok {
		return nil, original
	}
	w := &writer{common: all, server: s}
	hijacker, hijacks := original.(http.Hijacker)
	from, reads := original.(io.ReaderFrom)
	pusher, pushes := original.(http.Pusher)
	switch {
	case hijacks && reads && !pushes:
		return w, http1Writer{w, hijacker, from, r.Context().Value(readsFrom{}) == true}
	case pushes && !hijacks && !reads:
		return w, http2Writer{w, pusher}
	}
	return nil, original
}

// before is called before anything is written.
func (w *writer) before(status int) {
	if w.wrote {
		return
	}
	w.wrote = true
	if status == http.StatusSwitchingProtocols {
		w.asked = true
		return
	}
	w.asked = w.server.askToClose(w.common)
	if status == http.StatusRequestEntityTooLarge {
		closeAfterReply(w.common) // http.MaxBytesReader would have done so with the original
	}
}

func (w *writer) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols || status >= 200 { // others are sent before the header
		w.before(status)
	}
	w.common.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.before(http.StatusOK)
	n, err := w.common.Write(p)
	w.sent += n
	return n, err
}

func (w *writer) WriteString(p string) (int, error) {
	w.before(http.StatusOK)
	n, err := w.common.WriteString(p)
	w.sent += n
	return n, err
}

func (w *writer) Flush() { _ = w.FlushError() }

func (w *writer) FlushError() error {
	w.before(http.StatusOK)
	w.sent += headerBuffer + 1
	return w.common.FlushError()
}

// Unwrap is for methods that a later version of http.ResponseController may use.
func (w *writer) Unwrap() http.ResponseWriter { return w.common }

func (w http1Writer) ReadFrom(src io.Reader) (n int64, err error) {
	defer func() {
		w.sent += int(min(n, headerBuffer+1))
		if n >= sniffed && w.sends {
			w.sent = headerBuffer + 1
		}
	}()
	first := &firstRead{src, w.writer}
	switch {
	case w.wrote:
		return w.from.ReadFrom(src)
	case !w.sends:
		return w.from.ReadFrom(first)
	}
	// sendfile(2) and splice(2) need src itself.
	n, err = w.from.ReadFrom(io.LimitReader(first, sniffed))
	if err == nil && n == sniffed {
		var rest int64
		rest, err = w.from.ReadFrom(src)
		n += rest
	}
	return n, err
}

// A firstRead calls before when it has read bytes, which are written next.
type firstRead struct {
	io.Reader
	w *writer
}

func (r *firstRead) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.w.before(http.StatusOK)
	}
	return n, err
}

// end is called when the handler has returned.
func (w *writer) end() {
	switch {
	case !w.wrote:
		w.asked = w.asked || w.server.askToClose(w.common)
	case !w.asked && w.server.draining.Load() && w.sent <= headerBuffer:
		closeAfterReply(w.common)
	}
}

// panics is called when the handler has panicked. net/http then closes an HTTP/1 connection. An HTTP/2 client learns
// only from a header that it must use another connection.
func (w *writer) panics() {
	if !w.wrote && w.server.draining.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
	if w.asked {
		_ = w.SetWriteDeadline(time.Now().Add(panicTime)) // a client may keep the server from sending a body
		w.Flush()
	}
}

// closeAfterReply makes net/http close an HTTP/1 connection after the response, and announce that to the client if the
// header has not been sent. The connection stays open for half a second, in which net/http waits for the rest of the
// request. If net/http no longer does so, TestDrainAgainstShutdown fails.
func closeAfterReply(w http.ResponseWriter) {
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}
