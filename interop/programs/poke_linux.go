package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// PokeOptions say which server to poke, and how.
type PokeOptions struct {
	Address  string
	PID      int      // of a server that is running already, or 0
	Args     []string // the command of the server, if PID is 0
	Activate bool     // pass the listening socket to the server (LISTEN_FDS)
	Type     int      // of the socket, or 0 to find it out
	First    []byte   // sent before each item
	All      bool     // with PID: all items

	Settle  time.Duration // how long a server may take to close a descriptor
	Timeout time.Duration // to start, and to accept a connection
}

// readWait is how long Poke waits for the server to read a message before it closes the connection, and idleWait how long it
// waits for the server to go to sleep afterwards. No verdict depends on them, because the kernel delivers messages after
// the end of a connection too.
const (
	readWait = time.Second
	idleWait = 250 * time.Millisecond
)

// The payloads of the items.
var (
	zeroByte = []byte{0}
	newline  = []byte("\n")
	zeros    = make([]byte, 64)
	ones     = bytes.Repeat([]byte{0xff}, 64)
)

// An item is one way to pass descriptors that nobody asked for.
type item struct {
	payloads  [][]byte // each is sent on a connection of its own
	repeat    int      // how many messages a connection has; the last one carries the descriptors
	fds       int
	path      bool // opened with O_PATH
	dangerous bool // left out for a server that is running already
}

// items contains the items by their names in Items.
var items = map[string]item{
	"byte":    {payloads: thrice(zeroByte), repeat: 1, fds: 1},
	"newline": {payloads: thrice(newline), repeat: 1, fds: 1},
	"zeros":   {payloads: thrice(zeros), repeat: 1, fds: 1},
	"ones":    {payloads: thrice(ones), repeat: 1, fds: 1},
	"4k":      {payloads: thrice(make([]byte, 4096)), repeat: 1, fds: 1},
	"second":  {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 2, fds: 1},
	"253":     {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 1, fds: 253, dangerous: true},
	"path":    {payloads: [][]byte{zeroByte, newline, zeros, ones}, repeat: 1, fds: 1, path: true, dangerous: true},
}

// thrice shows whether the server keeps a descriptor for each connection, or only the last one.
func thrice(payload []byte) [][]byte { return [][]byte{payload, payload, payload} }

// A unit is a connection of an item.
type unit struct {
	trial   *pokeTrial
	payload []byte
	done    bool // it must not be sent again
}

// A pokeTrial is an item that is being sent.
type pokeTrial struct {
	item
	Trial
	units  []*unit
	judged bool
	marker *Marker
	sent   int    // descriptors on this server
	passed bool   // a connection has a verdict, because the server did not fail, or ends after each
	why    string // why a connection has none
}

// A poker pokes one server.
type poker struct {
	PokeOptions
	ctx      context.Context
	server   *Server
	listener *os.File
	last     *unit             // the last one that this server has received
	unread   bool              // the server may not have read all messages yet
	reads    bool              // the server has read a message
	created  bool              // the server has created the socket file
	accepts  bool              // the server accepts connections at once, and the kernel says so
	blind    bool              // it cannot be known whether the server accepts connections
	alone    bool              // each item has a server of its own, because one of several has ended it later
	controls map[string]string // what happens without the descriptors, by the messages
}

// Poke connects to a server, sends each item, and finds out what the server keeps, whether it has ended, and whether it still
// accepts connections. An error means that it could not find that out for any item.
func Poke(ctx context.Context, o PokeOptions) ([]Trial, error) {
	p := &poker{PokeOptions: o, ctx: ctx, controls: map[string]string{}}
	defer p.stop()
	var trials []*pokeTrial
	for _, name := range Items {
		it := items[name]
		if o.PID != 0 && !o.All && it.dangerous {
			continue
		}
		t := &pokeTrial{item: it, Trial: Trial{What: name}}
		for _, payload := range it.payloads {
			t.units = append(t.units, &unit{trial: t, payload: payload})
			if o.PID != 0 && !o.All && name != "second" {
				break
			}
		}
		trials = append(trials, t)
	}
	if err := p.judgeAll(trials); err != nil {
		return nil, err
	}
	verdicts, list := 0, []Trial(nil)
	for _, t := range trials {
		list = append(list, t.Trial)
		if t.Skipped == "" {
			verdicts++
		}
	}
	switch {
	case len(list) > 0 && !p.reads && !slices.ContainsFunc(list, func(t Trial) bool { return len(t.Findings) > 0 }):
		return list, errors.New("the server has read none of the messages; perhaps it wants --first, or another user")
	case verdicts == 0:
		return list, fmt.Errorf("no item has a verdict: %s", list[0].Skipped)
	}
	return list, nil
}

// judgeAll sends the items until each has a verdict. If the server ends, those before are sent again, without the one that
// ended it.
func (p *poker) judgeAll(trials []*pokeTrial) error {
	for {
		todo := slices.DeleteFunc(slices.Clone(trials), func(t *pokeTrial) bool { return t.judged })
		if len(todo) == 0 {
			return nil
		}
		if p.alone {
			todo = todo[:1]
		}
		if err := p.round(todo); err != nil {
			return err
		}
	}
}

// round sends the items to one server. Either one of their connections is done for good, or all are judged.
func (p *poker) round(todo []*pokeTrial) error {
	if err := p.ensure(); err != nil {
		return err
	}
	for _, t := range todo {
		if err := t.begin(); err != nil {
			return err
		}
		defer t.marker.Close()
	}
	for i, t := range todo {
		began := time.Now()
		f, err := p.sendAll(t)
		t.Seconds += time.Since(began).Seconds()
		switch {
		case err != nil:
			return err
		case f == nil:
		case p.PID == 0:
			return p.judge(f)
		default:
			return p.judgeAttached(f, todo, i)
		}
	}
	return p.settle(todo)
}

// begin gives the trial a marker that no server has received.
func (t *pokeTrial) begin() (err error) {
	t.sent = 0
	t.marker, err = NewMarker()
	return err
}

// sendAll sends the connections of an item that are not done, until the server fails.
func (p *poker) sendAll(t *pokeTrial) (*failure, error) {
	for _, u := range t.units {
		if u.done {
			continue
		}
		if f, err := p.send(u, true); f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// A failure is what happened to a server after a unit.
type failure struct {
	unit  *unit
	ended error // or nil if the server is running and no longer accepts connections
}

func (f *failure) String() string {
	if f.ended != nil {
		return f.ended.Error()
	}
	return "no longer accepts connections"
}

// send sends a unit, with its descriptors or without them, and returns what happened to the server.
func (p *poker) send(u *unit, withFDs bool) (*failure, error) {
	c, err := p.dial()
	if err != nil {
		f := p.failed(err)
		if f.unit == nil {
			return nil, p.serverError(err)
		}
		return f, nil
	}
	p.last = u
	err = p.talk(c, u, withFDs)
	p.hangUp(c)
	f := p.probe()
	switch {
	case err != nil:
		u.trial.why = err.Error()
	case withFDs && f == nil:
		u.trial.passed = true
	}
	return f, nil
}

// dial connects to the server. The error is one of Dial.
func (p *poker) dial() (int, error) {
	fd, typ, err := Dial(p.Address, p.Type, p.Timeout)
	if err == nil {
		p.Type = typ
	}
	return fd, err
}

// talk sends the messages of a unit.
func (p *poker) talk(c int, u *unit, withFDs bool) error {
	if len(p.First) > 0 {
		if _, err := raw.Send(c, [][]byte{p.First}, nil, unix.MSG_NOSIGNAL); err != nil {
			return fmt.Errorf("send the bytes of --first: %w", err)
		}
		p.awaitRead(c)
	}
	t := u.trial
	for i := range t.repeat {
		var fds []int
		if withFDs && i == t.repeat-1 {
			fd := t.marker.FD()
			if t.path {
				var err error
				if fd, err = t.marker.OpenPath(); err != nil {
					return err
				}
				defer unix.Close(fd)
			}
			fds = slices.Repeat([]int{fd}, t.fds)
		}
		_, err := raw.Send(c, [][]byte{u.payload}, fds, unix.MSG_NOSIGNAL)
		if i > 0 && p.reads && (errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)) {
			return nil // the server has read the first message, and wants no second one
		}
		if err != nil {
			return fmt.Errorf("sendmsg: %w", err)
		}
		t.sent += len(fds)
		p.awaitRead(c)
	}
	return nil
}

// awaitRead waits until the server has read all messages of a connection, and reads what it has answered.
func (p *poker) awaitRead(c int) {
	answer := make([]byte, 1<<16)
	deadline := time.Now().Add(readWait)
	for {
		n, err := Unread(c)
		var reset error
		for got := 1; got > 0; { // without a control buffer, the kernel closes the descriptors of an answer
			got, _, reset = unix.Recvfrom(c, answer, unix.MSG_DONTWAIT)
		}
		switch {
		case reset == unix.ECONNRESET: // the server has closed the connection, and not read all of it
			return
		case n == 0 && err == nil:
			p.reads = true
			return
		case err != nil || p.server.Ended() != nil:
			return
		case time.Now().After(deadline):
			p.unread = true
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// hangUp ends a connection as a client does that reads all answers. A server may not expect that its client closes the
// connection before that.
func (p *poker) hangUp(c int) {
	_ = unix.Shutdown(c, unix.SHUT_WR)
	p.rest()
	unix.Close(c)
	p.rest()
}

// rest waits until the server is asleep or has ended, but not for long if it is busy.
func (p *poker) rest() { p.restFor(idleWait) }

func (p *poker) restFor(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && p.server.Ended() == nil && !p.server.Idle(); {
		time.Sleep(2 * time.Millisecond)
	}
}

// probe connects and says nothing. It returns how the server has failed.
func (p *poker) probe() *failure {
	c, err := p.dial()
	if err != nil {
		return p.failed(err)
	}
	defer p.hangUp(c)
	if p.Type == unix.SOCK_DGRAM {
		return p.failed(nil)
	}
	for deadline := time.Now().Add(p.Timeout); !p.blind; {
		accepted, ok := Accepted(c)
		switch {
		case p.server.Ended() != nil:
			return p.failed(nil)
		case accepted:
			p.accepts = true
			p.rest()
			return p.failed(nil)
		case !ok, time.Now().After(deadline) && !p.accepts:
			p.blind = true
		case time.Now().After(deadline):
			return p.failed(unix.ETIMEDOUT)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return p.failed(nil)
}

// failed returns how the server has failed since the last unit, or nil if it has not. The error is that of a connection, or
// nil.
func (p *poker) failed(err error) *failure {
	ended := p.server.Ended()
	if ended == nil && IsAbsent(err) { // it may be ending
		p.restFor(p.Timeout)
		ended = p.server.Ended()
	}
	if ended == nil && err == nil {
		return nil
	}
	return &failure{p.last, ended}
}

// judge finds out whether the descriptors are the reason for a failure. If the server fails in the same way without them, the
// unit is done. It then has no verdict, unless the server ends without a failure after each connection.
func (p *poker) judge(f *failure) error {
	t := f.unit.trial
	f.unit.done = true
	server := p.server
	without, err := p.control(f)
	recurs := false
	if err == nil && without != f.String() {
		recurs, err = p.recurs(f)
	}
	switch {
	case err != nil:
		return err
	case recurs:
		t.find(f, server.Output()) // all of it, because the server has been stopped
	case without != f.String():
		t.why = fmt.Sprintf("the server %s once, but not each time that this was sent", f.predicate())
	case ExitedWith0(f.ended):
		t.passed = true
	default:
		t.why = fmt.Sprintf("the server %s after the same bytes without a descriptor, too", f.predicate())
	}
	if !slices.ContainsFunc(t.units, func(u *unit) bool { return !u.done }) {
		t.end()
	}
	return nil
}

// end ends a trial. It has a verdict if one of its connections has.
func (t *pokeTrial) end() {
	t.judged = true
	switch {
	case t.why != "" && !t.passed:
		t.Skipped = t.why
	case t.why != "":
		t.Notes = append(t.Notes, "not all connections: "+t.why)
	}
}

// judgeAttached is judge for a server that was running already. It cannot be started again, so that the items of the round
// that were not sent have no verdict.
func (p *poker) judgeAttached(f *failure, todo []*pokeTrial, i int) error {
	for _, t := range todo {
		t.judged, t.Skipped = true, "before that, the server "+f.predicate()
	}
	t := f.unit.trial
	t.Skipped = ""
	t.find(f, "")
	t.Notes = append(t.Notes, "the bytes alone may be the reason, because scm cannot start the server again")
	if f.ended == nil { // it still has what it keeps
		return p.settle(todo[:i])
	}
	return nil
}

// find adds the finding for a failure.
func (t *pokeTrial) find(f *failure, output string) {
	check := CheckCrash
	if f.ended == nil {
		check = CheckRefuses
	}
	what := "a descriptor"
	switch {
	case t.path:
		what = "a descriptor opened with O_PATH"
	case t.fds > 1:
		what = fmt.Sprintf("%d descriptors in one message", t.fds)
	}
	t.Find(check, f.predicate()+" after "+what)
	t.Output, t.judged = output, true
}

// control returns what happens without the descriptors of a failure, or "" if nothing does.
func (p *poker) control(f *failure) (string, error) {
	key := fmt.Sprintf("%d %s", f.unit.trial.repeat, f.unit.payload)
	if known, ok := p.controls[key]; ok {
		p.stop()
		return known, nil
	}
	text, err := p.again(f.unit, false, p.Settle)
	p.controls[key] = text
	return text, err
}

// again sends a unit to a new server, with its descriptors or without them. It returns what happens to the server, or "" if
// nothing does, also in the given time after it.
func (p *poker) again(u *unit, withFDs bool, wait time.Duration) (string, error) {
	p.stop()
	if err := p.ensure(); err != nil {
		return "", err
	}
	defer p.stop()
	f, err := p.send(u, withFDs)
	if err != nil {
		return "", err
	}
	if f == nil {
		ctx, cancel := context.WithTimeout(p.ctx, wait)
		defer cancel()
		_ = p.server.Await(ctx, func() bool { return false })
		f = p.failed(nil)
	}
	if err := context.Cause(p.ctx); err != nil || f == nil {
		return "", err
	}
	return f.String(), nil
}

// recurs reports whether a failure occurs each time with the descriptors of its unit, and never without them. One that does
// not may be due to the time at which the connection was closed.
func (p *poker) recurs(f *failure) (bool, error) {
	for range 2 {
		text, err := p.again(f.unit, true, p.Timeout)
		if err != nil || text != f.String() {
			return false, err
		}
		text, err = p.again(f.unit, false, p.Settle)
		if err != nil || text == f.String() {
			return false, err
		}
	}
	return true, nil
}

// predicate says what the server does.
func (f *failure) predicate() string {
	switch {
	case f.ended == nil:
		return f.String()
	case strings.HasPrefix(f.String(), "killed"):
		return "is " + f.String()
	}
	return "ends (" + f.String() + ")"
}

// settle waits until the server closes no more descriptors, and judges the items by what it keeps.
func (p *poker) settle(todo []*pokeTrial) error {
	var markers []*Marker
	for _, t := range todo {
		markers = append(markers, t.marker)
	}
	held, err := p.server.Settle(markers, Settling{Wait: p.Settle, Whole: p.unread, Nudge: func() {
		if c, err := p.dial(); err == nil {
			unix.Close(c)
		}
	}})
	if err != nil {
		return err
	}
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	if f := p.failed(nil); f != nil {
		if len(todo) > 1 && p.PID == 0 {
			p.alone = true
			p.stop()
			return nil
		}
		if p.PID != 0 {
			return p.judgeAttached(f, todo, 0)
		}
		return p.judge(f)
	}
	for _, t := range todo {
		t.end()
		if n := Count(held[t.marker]); n > 0 {
			t.Find(CheckLeak, fmt.Sprintf("keeps %d of %d descriptors after the end of the connections", n, t.sent)+places(p.server, held[t.marker]))
			t.Output = p.server.Output()
		}
	}
	return nil
}

// places names the processes that have the descriptors, unless only the first one does.
func places(s *Server, list []Holding) string {
	var names []string
	for _, h := range list {
		if h.PID != s.PID() && !slices.Contains(names, h.Program) {
			names = append(names, h.Program)
		}
	}
	if len(names) == 0 || len(names) == 1 && names[0] == s.Program() {
		return ""
	}
	return ", in " + strings.Join(names, ", ")
}

// ensure starts the server unless it is running, and waits until it listens.
func (p *poker) ensure() error {
	if p.server != nil {
		return nil
	}
	if p.PID != 0 {
		server, err := Attach(p.PID)
		if err != nil {
			return err
		}
		p.server = server
		_, err = server.Held() // which fails if the kernel does not let scm look
		return err
	}
	if err := p.clear(); err != nil {
		return err
	}
	c := Command{Args: p.Args, Socket: p.Address}
	if p.Activate {
		if err := p.listen(); err != nil {
			return err
		}
		c.Listen = p.listener
	}
	server, err := Start(c)
	if err != nil {
		return err
	}
	p.server = server
	ctx, cancel := context.WithTimeoutCause(p.ctx, p.Timeout, fmt.Errorf("after %s, no process listens at %s", p.Timeout, p.Address))
	defer cancel()
	if err := server.WaitListening(ctx, p.Address); err != nil {
		return p.serverError(err)
	}
	p.created = true
	_, err = server.Held()
	return err
}

// serverError adds where the server listens, and what it has printed.
func (p *poker) serverError(err error) error {
	if listens := p.server.Listens(); len(listens) > 0 {
		err = fmt.Errorf("%w; the server listens at %s", err, strings.Join(listens, ", "))
	}
	if output := p.server.Output(); output != "" {
		return fmt.Errorf("%w; it has printed:\n%s", err, output)
	}
	return err
}

// clear removes the socket file that a server before has left. If another process listens there, it returns an error.
func (p *poker) clear() error {
	c, _, err := Dial(p.Address, p.Type, p.Timeout)
	if err == nil {
		unix.Close(c)
		return fmt.Errorf("a process that scm did not start listens at %s", p.Address)
	}
	if p.created && !strings.HasPrefix(p.Address, "@") {
		if err := os.Remove(p.Address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// listen creates the socket that the server gets as from systemd. Each server gets a new one, so that no connection to the
// one before is left in its backlog.
func (p *poker) listen() error {
	if p.Type == 0 {
		p.Type = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_UNIX, p.Type|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: p.Address}); err == nil {
		p.created = true
		if p.Type != unix.SOCK_DGRAM {
			err = unix.Listen(fd, 128)
		}
	}
	p.listener = os.NewFile(uintptr(fd), filepath.Base(p.Address))
	if err != nil {
		return fmt.Errorf("bind to %s: %w", p.Address, err)
	}
	return nil
}

// stop ends the server, and removes the socket file if the server has left it.
func (p *poker) stop() {
	if p.server == nil {
		return
	}
	p.server.Stop()
	if p.listener != nil {
		p.listener.Close()
	}
	p.server, p.listener, p.last, p.unread = nil, nil, nil, false
	if p.PID == 0 {
		_ = p.clear() // the next server, or the next run, may find the file otherwise
	}
}
