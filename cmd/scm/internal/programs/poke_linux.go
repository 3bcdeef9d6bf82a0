package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
	foreign  error             // not nil if a process that is not the server's accepts connections
	blind    bool              // it cannot be known whether the server accepts connections
	alone    bool              // each item has a server of its own, because one of several has ended it later
	controls map[string]string // what happens without the descriptors, by the messages
}

// Poke connects to a server, sends each item, and finds out what the server keeps, whether it has ended, and whether it still
// accepts connections. An error means that it could not find that out for each item. It then returns the trials, if any of
// them says something.
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
	err := p.judgeAll(trials)
	found := slices.ContainsFunc(trials, func(t *pokeTrial) bool { return len(t.Findings) > 0 })
	doubt := "" // why a trial without a finding says nothing
	switch {
	case err != nil:
	case p.foreign != nil:
		err, doubt = p.foreign, "another process may have received this"
	case !p.reads && !found:
		wants := "--first, or another user"
		if o.Activate && o.Type == 0 {
			wants = "another --type of socket than stream"
		}
		err = errors.New("the server has read none of the messages; perhaps it wants " + wants)
		doubt = "the server has not read this"
	}
	verdicts, says, list := 0, false, []Trial(nil)
	for _, t := range trials {
		switch {
		case !t.judged:
			t.Skipped = cutShort
		case doubt != "" && len(t.Findings) == 0 && t.Skipped == "":
			t.Skipped = doubt
		default:
			says = true
		}
		if t.Skipped == "" {
			verdicts++
		}
		list = append(list, t.Trial)
	}
	switch {
	case err != nil && !says:
		return nil, err
	case err == nil && verdicts == 0:
		err = fmt.Errorf("no item has a verdict: %s", list[0].Skipped)
	}
	return list, err
}

// cutShort says why a trial has no verdict if the run ended before it.
const cutShort = "the run was cut short"

// judgeAll sends the items until each has a verdict. If the server ends, those before are sent again, without the one that
// ended it. The dangerous items come when the others are judged, because the server may not start again.
func (p *poker) judgeAll(trials []*pokeTrial) error {
	for {
		todo := slices.DeleteFunc(slices.Clone(trials), func(t *pokeTrial) bool { return t.judged })
		if len(todo) == 0 {
			return nil
		}
		if i := slices.IndexFunc(todo, func(t *pokeTrial) bool { return t.dangerous }); i > 0 {
			todo = todo[:i]
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

// sendAll sends the connections of an item that are not done, until the server fails.
func (p *poker) sendAll(t *pokeTrial) (*failure, error) {
	for _, u := range t.units {
		if u.done {
			continue
		}
		if err := context.Cause(p.ctx); err != nil {
			return nil, err
		}
		if f, err := p.send(u, true); f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// judge finds out whether the descriptors are the reason for a failure. If the server fails in the same way without them, the
// unit is done. It then has no verdict, unless the server ends without a failure after each connection.
func (p *poker) judge(f *failure) error {
	t := f.unit.trial
	f.unit.done = true
	server := p.server
	without, err, recurs := f.String(), error(nil), false
	if t.undelivered() { // only bytes were sent
		p.stop()
	} else {
		without, err = p.control(f)
	}
	if err == nil && without != f.String() {
		recurs, err = p.recurs(f)
	}
	switch {
	case err != nil:
		t.Skipped = fmt.Sprintf("the server %s after %s, but scm could not repeat that", f.predicate(), t.descriptors())
		t.judged = true
		return err
	case recurs:
		t.find(f, server.Output()) // all of it, because the server has been stopped
	case without != f.String():
		t.why = fmt.Sprintf("the server %s once, but not each time that this was sent", f.predicate())
	case t.undelivered() || ExitedWith0(f.ended):
		t.passed = true
	default:
		t.why = fmt.Sprintf("the server %s after the same bytes without a descriptor, too", f.predicate())
	}
	if !slices.ContainsFunc(t.units, func(u *unit) bool { return !u.done }) {
		t.end()
	}
	return nil
}

// judgeAttached is judge for a server that was running already. It cannot be started again, so that the items of the round
// that were not sent have no verdict.
func (p *poker) judgeAttached(f *failure, todo []*pokeTrial, i int) error {
	t := f.unit.trial
	known := t.judged // in an earlier round
	for _, t := range todo {
		t.judged, t.Skipped = true, "before that, the server "+f.predicate()
	}
	t.Skipped = ""
	switch {
	case known:
	case t.undelivered():
		t.passed = true
		t.end()
	default:
		t.find(f, "")
		t.Notes = append(t.Notes, "the bytes alone may be the reason, because scm cannot start the server again")
	}
	if f.ended == nil { // it still has what it keeps
		return p.settle(todo[:i])
	}
	return nil
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

// settle waits until the server closes no more descriptors, and judges the items by what it keeps.
func (p *poker) settle(todo []*pokeTrial) error {
	var markers []*Marker
	for _, t := range todo {
		markers = append(markers, t.marker)
	}
	held, err := p.server.Settle(p.ctx, markers, Settling{Wait: p.Settle, Whole: p.unread, Nudge: func() {
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
