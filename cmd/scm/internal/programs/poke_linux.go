package programs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/interop/display"
)

// PokeOptions say which server to poke, and how.
type PokeOptions struct {
	Address   string
	PID       int      // of a server that is running already, or 0
	Args      []string // the command of the server, if PID is 0
	Activate  bool     // pass the listening socket to the server (LISTEN_FDS)
	Type      int      // of the socket, or 0 to find it out
	First     []byte   // sent before each item
	Dangerous bool     // with PID: all items

	Settle  time.Duration // how long a server may take to close a descriptor
	Timeout time.Duration // to start, and to accept a connection

	Progress func(item string) // if set, called before an item is sent for the first time
}

// A poker pokes one server.
type poker struct {
	target
	last   *unit     // the last one that was sent
	began  time.Time // when it was
	unread bool      // the server may not have read all messages yet
	reads  bool      // the server has read a message
	ends   []string  // how servers have ended by themselves
	ender  *Server   // the last server that has
	fresh  bool      // the server had received nothing before this round
	alone  bool      // each item has a server of its own, because one of several has ended it later
	enough string    // why no more items are sent, or ""
}

// A unit is a connection of an item.
type unit struct {
	trial   *pokeTrial
	payload []byte
	done    bool   // it must not be sent again
	alone   bool   // the first byte of the message is sent alone
	why     string // why it has no verdict, or ""
}

// A pokeTrial is an item that is being sent.
type pokeTrial struct {
	item
	Trial
	units    []*unit
	judged   bool
	marker   *Marker
	printed  string // by the server while the item was sent
	sent     int    // descriptors on this server
	rejected bool   // the kernel has rejected the descriptors of a message, but not its bytes
}

// undelivered reports whether the kernel has rejected every descriptor of the trial, so that none can be the reason for
// a failure.
func (t *pokeTrial) undelivered() bool { return t.rejected && t.sent == 0 }

// end ends a trial. It has a verdict if one of its connections has.
func (t *pokeTrial) end() {
	t.judged = true
	without := slices.DeleteFunc(slices.Clone(t.units), func(u *unit) bool { return u.why == "" })
	switch {
	case len(without) == 0 || len(t.Findings) > 0:
	case len(without) < len(t.units):
		t.Notes = append(t.Notes, "not all connections: "+without[0].why)
	default:
		other := slices.IndexFunc(without, func(u *unit) bool {
			return u.why != errFirst.Error() && u.why != errClosed.Error() // it may not have read all of a long first message
		})
		switch {
		case other >= 0:
			t.Skipped = without[other].why
		case slices.ContainsFunc(without, func(u *unit) bool { return u.why == errFirst.Error() }):
			t.Untried = errFirst.Error() // most servers that read one message do this
		default:
			t.Skipped = errClosed.Error()
		}
	}
	if t.rejected {
		t.Notes = append(t.Notes, "the kernel rejects descriptors for this server (EPERM), as with SO_PASSRIGHTS, and only the bytes were sent")
	}
}

// unreceived reports whether the descriptor table of the server was full at each connection of the trial, and the
// server keeps none of the trial's descriptors.
func (t *pokeTrial) unreceived() bool {
	return len(t.Findings) == 0 && !slices.ContainsFunc(t.units, func(u *unit) bool { return u.why != errTable.Error() })
}

// find adds the finding for a failure.
func (t *pokeTrial) find(f *failure, output string) {
	check := CheckCrash
	if f.ended == nil {
		check = CheckRefuses
	}
	t.Find(check, fmt.Sprintf("%s after %s", f, t.descriptors()))
	t.Output, t.judged = output, true
}

// Poke connects to a server, sends each item, and finds out what the server keeps, whether it has ended, and whether it
// still accepts connections. An error means that it could not find that out for each item. It then returns the trials,
// if any of them says something.
func Poke(ctx context.Context, o PokeOptions) ([]Trial, error) {
	p := &poker{target: target{PokeOptions: o, ctx: ctx, waitLimit: o.Timeout * 3 / 2}}
	defer p.stop()
	var trials []*pokeTrial
	for _, it := range items {
		payloads := it.payloads
		if o.PID != 0 && !o.Dangerous {
			if it.dangerous {
				continue
			}
			payloads = slices.CompactFunc(slices.Clone(payloads), bytes.Equal)
		}
		t := &pokeTrial{item: it, Trial: Trial{What: it.name}}
		for _, payload := range payloads {
			t.units = append(t.units, &unit{trial: t, payload: payload})
		}
		trials = append(trials, t)
	}
	err := p.judgeAll(trials)
	verdicts, judged, list := 0, 0, []Trial(nil)
	for _, t := range trials {
		if t.judged {
			judged++
		} else {
			t.Skipped = cutShort
		}
		if t.Skipped == "" {
			verdicts++
		}
		list = append(list, t.Trial)
	}
	found := slices.ContainsFunc(list, func(t Trial) bool { return len(t.Findings) > 0 })
	switch {
	case err == nil && !p.reads && !found:
		hint := ""
		switch {
		case o.Activate && o.Type == 0:
			hint = "; perhaps it wants another --type of socket than stream"
		case len(p.ends) == 0:
			hint = "; perhaps it wants --first, or another user"
		}
		return nil, p.explainUnread(hint)
	case err == nil && verdicts == 0:
		err = p.withOutput(fmt.Errorf("no item has a verdict: %s", list[0].Skipped))
	case judged == 0:
		return nil, err
	}
	return list, err
}

// explainUnread returns an error for a server that has read nothing.
func (p *poker) explainUnread(hint string) error {
	n := len(p.ends)
	if n == 0 {
		return errors.New("the server has read none of the messages" + hint)
	}
	slices.Sort(p.ends)
	const text = "the server ended %s before it had read a message (%s)%s"
	return p.withOutput(fmt.Errorf(text, display.Plural(n, "time"), strings.Join(slices.Compact(p.ends), ", "), hint))
}

// withOutput adds to an error the output of the last server that has ended by itself.
func (p *poker) withOutput(err error) error {
	if p.ender == nil {
		return err
	}
	return addOutput(err, p.ender.Output())
}

// stop ends the server. The next one has received nothing.
func (p *poker) stop() {
	p.target.stop()
	p.last, p.unread = nil, false
}

// cutShort says why a trial has no verdict if the run ended before it.
const cutShort = "the run was cut short"

// judgeAll sends the items until each has a verdict, or no more are to be sent. If the server ends, those before are
// sent again, without the one that ended it. The dangerous items are sent after the others have been judged, because
// the server may not start again.
func (p *poker) judgeAll(trials []*pokeTrial) error {
	for {
		todo := slices.DeleteFunc(slices.Clone(trials), func(t *pokeTrial) bool { return t.judged })
		if len(todo) == 0 {
			return nil
		}
		if p.enough != "" {
			for _, t := range todo {
				t.judged, t.Skipped = true, p.enough
			}
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
	p.fresh = p.last == nil
	for _, t := range todo {
		t.sent = 0
		var err error
		if t.marker, err = NewMarker(); err != nil { // that no server has received
			return err
		}
		defer t.marker.Close()
	}
	for i, t := range todo {
		if p.enough != "" {
			return p.judgeKept(todo[:i])
		}
		if p.Progress != nil && t.Seconds == 0 {
			p.Progress(t.What)
		}
		began := time.Now()
		p.server.output.Reset()
		f, err := p.sendAll(t)
		t.printed = p.server.output.String()
		t.Seconds += time.Since(began).Seconds()
		if err != nil {
			return err
		}
		if f != nil {
			return p.judge(f, todo[:i+1])
		}
	}
	return p.judgeKept(todo)
}

// sendAll sends the connections of an item that are not done, until the server fails.
func (p *poker) sendAll(t *pokeTrial) (*failure, error) {
	for _, u := range t.units {
		if p.enough != "" {
			u.why = p.enough
		}
		if u.done || p.enough != "" {
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

// judge finds out whether the descriptors are the reason for a failure. If the server fails in the same way without
// them, the unit is done. It then has no verdict, unless the server ends without a failure after each connection. A
// server that cannot be started again, or whose failure takes long to find out, gets no more items. The trials are
// those sent in the round.
func (p *poker) judge(f *failure, sent []*pokeTrial) error {
	t, server, unread := f.unit.trial, p.server, f.unit.why
	if p.PID != 0 || f.slow {
		p.enough = fmt.Sprintf("before that, the server %s", f)
		others := slices.DeleteFunc(slices.Clone(sent), func(o *pokeTrial) bool { return o == t })
		if f.ended == nil && len(others) > 0 { // it still has what it keeps
			if err := p.judgeKept(others); err != nil {
				return err
			}
		}
	}
	if p.PID != 0 {
		switch {
		case t.judged: // in an earlier round
		case t.undelivered():
			t.end()
		default:
			t.find(f, "")
			t.Notes = append(t.Notes, "perhaps because of the bytes alone, or of what it was sent before: scm cannot start the server again to find out")
		}
		return nil
	}
	why, err := p.excuse(f)
	alone := why == bytesAlone
	switch {
	case err != nil:
		t.Skipped = fmt.Sprintf("the server %s after %s, but scm could not repeat that", f, t.descriptors())
		t.judged = true
		return err
	case why == "":
		t.find(f, server.Output()) // all of it, because the server has been stopped
		return nil
	case alone && ExitedWith0(f.ended) && unread != "" && p.splits(f.unit):
		f.unit.alone = true // the next round sends it again
		return nil
	case alone && (t.undelivered() || ExitedWith0(f.ended)):
		why = unread
	default:
		why = fmt.Sprintf("the server %s %s", f, why)
	}
	for _, u := range t.units {
		if u == f.unit || alone && bytes.Equal(u.payload, f.unit.payload) {
			u.done, u.why = true, why
		}
	}
	switch {
	case f.slow:
		t.judged, t.Skipped = true, why
	case !slices.ContainsFunc(t.units, func(u *unit) bool { return !u.done }):
		t.end()
	}
	return nil
}

// bytesAlone is the excuse for a failure that descriptors are not the reason for.
const bytesAlone = "after the same bytes without a descriptor, too"

// excuse returns why a failure is no finding, or "" if it is one. It must occur each time with the descriptors of its
// unit, and never without them. One that does not may be due to the time at which the connection was closed. A queue is
// full only after many datagrams, so it is enough that the server reads the one without descriptors.
func (p *poker) excuse(f *failure) (string, error) {
	defer p.stop()
	if f.slow && !f.full && p.unread {
		return "before it has read all messages", nil
	}
	for i := range 5 {
		withFDs, wait := i%2 == 1, min(p.Settle, 2*f.after+time.Second)
		if withFDs {
			wait = p.Timeout
		}
		text, err := p.again(f.unit, withFDs, wait)
		switch {
		case err != nil:
			return "", err
		case i == 0 && (text == f.String() || f.full && f.unit.why != ""):
			return bytesAlone, nil
		case f.full:
			return "", nil
		case withFDs != (text == f.String()):
			return "once, but not each time that this was sent", nil
		}
	}
	return "", nil
}

// again sends a unit to a new server, with its descriptors or without them. It returns what happens to the server, or
// "" if nothing does, also in the given time after it.
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
		p.await(wait, wait, func() bool { return false })
		f = p.failed(nil)
	}
	if err := context.Cause(p.ctx); err != nil || f == nil {
		return "", err
	}
	return f.String(), nil
}

// judgeKept waits until the server closes no more descriptors, and judges the items by what it keeps.
func (p *poker) judgeKept(todo []*pokeTrial) error {
	held, err := p.held(todo)
	if err != nil {
		return err
	}
	if f := p.failed(nil); f != nil {
		if len(todo) > 1 && p.PID == 0 {
			p.alone = true
			p.stop()
			return nil
		}
		return p.judge(f, nil)
	}
	var kept []*pokeTrial
	for _, t := range todo {
		// Processes that inherit a descriptor have it, too.
		if n := min(Count(held[t.marker]), t.sent); n > 0 {
			text := fmt.Sprintf("keeps %d of %d descriptors after the end of the connections", n, t.sent)
			t.Find(CheckLeak, text+p.extent(held[t.marker], t.sent/t.fds))
			t.Output = t.printed
			kept = append(kept, t)
		}
	}
	if len(kept) > 0 {
		err = p.repeat(kept, held, true)
	}
	for i, t := range todo {
		if (i > 0 || !p.fresh) && p.PID == 0 && t.unreceived() {
			p.stop() // the next round sends it to a new server
		} else {
			t.end()
		}
	}
	return err
}

// held waits until the server closes no more descriptors, and returns which it keeps.
func (p *poker) held(sent []*pokeTrial) (map[*Marker][]Holding, error) {
	var markers []*Marker
	for _, t := range sent {
		markers = append(markers, t.marker)
	}
	held, err := p.server.WaitUntilClosed(p.ctx, markers, p.Settle, p.unread, func() {
		if c, _, err := Dial(p.address, p.Type, idleWait); err == nil {
			unix.Close(c)
		}
	})
	return held, cmp.Or(err, context.Cause(p.ctx))
}

// repeat sends items with a leak again, just as often. If the server then keeps no more, although it could, it stores a
// limited number of descriptors, such as the last eight. The leak becomes a note. If it keeps more, but not all, it may
// have reached its limit only now, so repeat sends them a last time.
func (p *poker) repeat(kept []*pokeTrial, held map[*Marker][]Holding, again bool) error {
	before := map[*pokeTrial]int{}
	for _, t := range kept {
		before[t] = t.sent
		f, err := p.sendAll(t)
		switch {
		case f != nil:
			t.Notes = append(t.Notes, fmt.Sprintf("when it was sent again, the server %s", f))
			p.stop()
			return nil
		case err != nil || p.enough != "":
			return err
		}
	}
	more, err := p.held(kept)
	if err != nil || p.failed(nil) != nil {
		return err
	}
	full := func(t *pokeTrial) bool {
		// A connection, which is closed now, and what accepted it need space too. A full ring needs none.
		return slices.ContainsFunc(more[t.marker], func(h Holding) bool { _, free := room(h.TID); return free < t.fds+2 })
	}
	first, now, sent := 0, 0, 0
	for _, t := range kept {
		first, now, sent = first+Count(held[t.marker]), now+Count(more[t.marker]), sent+t.sent
	}
	if again && first < now && now < sent && !slices.ContainsFunc(kept, full) {
		return p.repeat(kept, more, false)
	}
	for _, t := range kept {
		if n := Count(more[t.marker]); n <= Count(held[t.marker]) && !full(t) {
			text := "the server keeps %d of %d descriptors, no more than of the first %d"
			t.Notes = append(t.Notes, fmt.Sprintf(text, min(n, t.sent), t.sent, before[t]))
			t.Findings, t.Output = nil, ""
		}
	}
	return nil
}
