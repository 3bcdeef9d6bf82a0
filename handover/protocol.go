package handover

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/sys"
)

// version is the version of the protocol.
const version = 1

// maxMessage is the maximum length of a message. batch is the most descriptors that this package sends with one.
// maxReason is the maximum length of the reason of an abort, which JSON can make six times as long.
const (
	maxMessage = 1 << 20
	batch      = 128
	maxReason  = 1 << 16
)

// helloTime limits the wait for hello from a process that has connected. writeTime limits the time to send a message,
// and abortTime the time to send an abort.
const (
	helloTime = 5 * time.Second
	writeTime = 10 * time.Second
	abortTime = time.Second
)

// expired is a deadline in the past. Setting it ends pending calls.
var expired = time.Unix(1, 0)

// Names of the predecessor's own descriptors. checkName rejects them.
const (
	controlName = ":control"
	lifeName    = ":life"
)

// controlMode returns the mode of the socket file. Only Linux can set it.
func controlMode() os.FileMode {
	if runtime.GOOS == "linux" {
		return 0o600
	}
	return 0
}

// message is a message of the protocol, which the package comment describes.
type message struct {
	Type        string   `json:"type"`
	Descriptors int      `json:"descriptors"`
	Versions    []int    `json:"versions,omitempty"`
	Version     int      `json:"version,omitempty"`
	Needs       int64    `json:"needs,omitempty"`
	Unit        string   `json:"unit,omitempty"`
	Generation  int      `json:"generation,omitempty"`
	Sockets     []socket `json:"sockets,omitempty"`
	More        bool     `json:"more,omitempty"`
	Main        bool     `json:"main,omitempty"`
	Reason      string   `json:"reason,omitempty"`
}

// checkName accepts the same names for descriptors as systemd.
func checkName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("invalid name %q: want 1 to 255 printable ASCII characters other than a colon: %w", name, os.ErrInvalid)
	}
	return nil
}

// abortError is the reason that the other process gave for an abort.
type abortError struct{ reason string }

func (e *abortError) Error() string {
	return fmt.Sprintf("the other process has given up: %q", e.reason)
}

// isGone reports whether err means that the other process has closed the connection.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || sys.Disconnected(err)
}

// A peer is the process at the other end of the connection.
type peer struct {
	conn         *scm.Conn
	pid          int // 0 if unknown
	pidfd        int // or -1
	in           *framed.Reader
	disconnected chan struct{} // closed by disconnect
}

func newPeer(conn *scm.Conn) *peer {
	cred, _ := conn.PeerCred()
	return &peer{conn, cred.PID, -1, framed.NewReader(conn, framed.Limits{}), make(chan struct{})}
}

func (p *peer) close() {
	if p != nil {
		_, _ = p.in.Close(), p.conn.Close()
		scm.CloseFDs(p.pidfd)
		p.pidfd = -1
	}
}

// watch makes calls fail once ctx is done, until stop is called. stop also removes the deadline.
func (p *peer) watch(ctx context.Context) (stop func()) {
	expires := make(chan struct{})
	ignore := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(expired); close(expires) })
	return func() {
		if !ignore() {
			<-expires
		}
		_ = p.conn.SetDeadline(time.Time{})
	}
}

// send sends a message with the descriptors of sockets.
func (p *peer) send(m message, sockets ...syscall.Conn) error {
	m.Descriptors = len(sockets)
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d bytes is too long", len(text))
	}
	return p.sendText(text, sockets...)
}

// sendText sends the length and the text of a message.
func (p *peer) sendText(text []byte, sockets ...syscall.Conn) error {
	w := framed.NewWriter(p.conn)
	if err := w.AttachSockets(sockets...); err != nil {
		return err
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// abort tells the other process why this one is giving up. It waits for at most abortTime. If the connection has ended,
// it has no effect.
func (p *peer) abort(reason error) {
	if p == nil {
		return
	}
	text := strings.TrimPrefix(reason.Error(), "handover: ")
	_ = p.conn.SetDeadline(time.Now().Add(abortTime))
	_ = p.send(message{Type: "abort", Reason: text[:min(len(text), maxReason)]})
}

// reason returns the abort that explains why a send failed with err. Without one, it returns err.
func (p *peer) reason(err error) error {
	if !isGone(err) {
		return err
	}
	var aborted *abortError
	if _, received := p.receive(); errors.As(received, &aborted) {
		return aborted
	}
	return err
}

// A messageError says what is wrong with a message that has arrived. It is not an abort.
type messageError struct{ error }

// receive receives a message of one of the given types. The kernel closes descriptors that were sent with it, so this
// works even if the descriptor table is full.
func (p *peer) receive(types ...string) (message, error) { return read(p.conn, types) }

// receiveFiles is like receive, but for a message with descriptors. The caller must close the files.
func (p *peer) receiveFiles(types ...string) (m message, files []*os.File, err error) {
	// The descriptors arrive with the length. If some are lost, p.in cannot read the text, which may be an abort, so
	// p.conn reads it.
	m, err = read(io.MultiReader(io.LimitReader(p.in, 4), p.conn), types)
	if err == nil {
		files, err = p.in.Take(m.Descriptors)
	}
	if err == nil && p.in.Waiting() > 0 { // the reader does not read ahead
		err = fmt.Errorf("received more than the %d descriptors of a message", m.Descriptors)
		closeFiles(files)
	}
	return m, files, err
}

// read reads a message of one of the given types.
func read(in io.Reader, types []string) (m message, err error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return m, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMessage {
		return m, messageError{fmt.Errorf("received a message of %d bytes, but the maximum is %d", n, maxMessage)}
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return m, err
	}
	err = json.Unmarshal(text, &m)
	switch {
	case m.Type == "abort": // even if its other fields are wrong
		return m, &abortError{m.Reason}
	case err != nil:
		return m, messageError{fmt.Errorf("received an invalid message: %w", err)}
	case !slices.Contains(types, m.Type):
		return m, messageError{fmt.Errorf("received the message %q instead of %q", m.Type, types)}
	}
	return m, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
