package handover

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// A state is what a Process does. It is a bit, because a transition can begin in several states.
type state int

const (
	preparing state = 1 << iota // from Start until Ready
	asking                      // in Ready: whether this process may serve
	serving                     // and no successor has the sockets
	handing                     // a successor has the sockets, but may not serve
	told                        // go may have been sent, so the successor may serve
	replaced                    // a successor serves
	closed                      // Close has been called, or Ready has failed
	never                       // not a state: the event cannot occur
	same      state = 0         // the event does not change the state
)

func (s state) String() string {
	var names []string
	for i, name := range []string{"preparing", "asking", "serving", "handing", "told", "replaced", "closed", "cannot occur"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// An event is what happens to a Process. The other process is the predecessor until Ready has returned and the service
// manager knows this process, and a successor after that.
type event string

const (
	gotHello    event = "hello"    // a process wants to take over
	gotAnswer   event = "answer"   // ready and going of a successor, or go of the predecessor
	gotAbort    event = "abort"    // the other process, or this one, gives up
	peerDied    event = "death"    // the other process has died, which :life or the end of the stream proves
	isLate      event = "deadline" // the other process has not answered in time
	gotMain     event = "main"     // the service manager, if there is one, knows which process is the main one
	callReady   event = "Ready"
	callClose   event = "Close"
	callUpgrade event = "Upgrade"
)

var (
	errClosed   = fmt.Errorf("the Process is closed: %w", os.ErrClosed)
	errReplaced = errors.New("a successor has replaced this process")
	errReadied  = errors.New("Ready has been called before")
	errNotReady = errors.New("Upgrade was called before Ready has returned nil")
)

// transitions says what follows each event in each state. docs/howto-handover.md has the same table.
var transitions = []struct {
	in   state
	on   event
	does string // or why the event cannot occur
	next state
	err  error // for the caller of on
}{
	{preparing | asking, gotHello, "no process is accepted yet, so it waits in the queue of the Unix socket", never, nil},
	{serving, gotHello, "sends the sockets", handing, nil},
	{handing | told, gotHello, "lets the process wait for its turn", same, nil},
	{replaced, gotHello, "disconnects the process, which tries again and reaches the successor", same, errReplaced},
	{closed, gotHello, "disconnects the process, which tries again", same, errClosed},
	{preparing, gotAnswer, "the predecessor answers only what Ready sends", never, nil},
	{asking, gotAnswer, "writes the PID file and sends going; Ready returns nil", serving, nil},
	{serving, gotAnswer, "no successor has the sockets", never, nil},
	{handing, gotAnswer, "sends go", told, nil},
	{told, gotAnswer, "announces the successor to the service manager, and waits for main", same, nil},
	{replaced, gotAnswer, "the attempt has ended", never, nil},
	{closed, gotAnswer, "sends abort if it is ready or go; main follows going", same, errClosed},
	{preparing, gotAbort, "it is read in Ready", never, nil},
	{asking, gotAbort, "Ready returns an error", closed, nil},
	{serving, gotAbort, "if the predecessor sends it instead of main, as main", same, nil},
	{handing | told, gotAbort, "ends the attempt: writes a byte into :life, and sends abort", serving, nil},
	{replaced, gotAbort, "the attempt has ended", never, nil},
	{closed, gotAbort, "ends the attempt, if there is one", same, errClosed},
	{preparing, peerDied, "it is noticed in Ready", never, nil},
	{asking, peerDied, "Ready returns nil: the predecessor can neither serve nor hand over to another process", serving, nil},
	{serving, peerDied, "if the predecessor dies before main, as main", same, nil},
	{handing | told, peerDied, "ends the attempt: the successor has not served, or the manager does not know it", serving, nil},
	{replaced, peerDied, "nothing: it is no longer this process's concern", same, nil},
	{closed, peerDied, "ends the attempt, if there is one", same, errClosed},
	{preparing, isLate, "it is the predecessor that waits, and Ready reports its abort", never, nil},
	{asking, isLate, "Ready returns an error: ctx is done, or :life has not ended soon after the stream", closed, nil},
	{serving, isLate, "nothing is waited for, except main, which has no deadline", never, nil},
	{handing, isLate, "ends the attempt, as abort does", serving, nil},
	{told, isLate, "as abort, because go could not be sent: after go, there is no deadline", serving, nil},
	{replaced, isLate, "the attempt has ended", never, nil},
	{closed, isLate, "ends the attempt, if there is one", same, errClosed},
	{preparing | asking, gotMain, "it follows going", never, nil},
	{serving, gotMain, "notifies the manager; from now on, a successor receives the sockets", same, nil},
	{handing, gotMain, "before main, no successor receives the sockets", never, nil},
	{told, gotMain, "sends main, and closes the Unix socket and the channel of Replaced", replaced, nil},
	{replaced, gotMain, "it has led to this state", never, nil},
	{closed, gotMain, "closes the channel of Replaced, if a successor serves", same, errClosed},
	{preparing, callReady, "sends ready, if there is a predecessor", asking, nil},
	{asking | serving | handing | told | replaced, callReady, "returns an error", same, errReadied},
	{closed, callReady, "returns an error", same, errClosed},
	{preparing, callClose, "sends abort to the predecessor, and removes the socket file if there is none", closed, nil},
	{asking, callClose, "ends the wait for the predecessor: Ready sends abort and returns an error", closed, nil},
	{serving, callClose, "removes the files", closed, nil},
	{handing, callClose, "ends the attempt, and removes the files when it has ended", closed, nil},
	{told, callClose, "leaves the files to the successor, which may serve", closed, nil},
	{replaced, callClose, "leaves the files to the successor", closed, nil},
	{closed, callClose, "nothing", same, errClosed},
	{preparing | asking, callUpgrade, "returns an error", same, errNotReady},
	{serving | handing | told, callUpgrade, "starts a process, which sends hello", same, nil},
	{replaced, callUpgrade, "returns an error", same, errReplaced},
	{closed, callUpgrade, "returns an error", same, errClosed},
}

// on enters the state that follows an event, and returns the state before. p.mu must be held.
func (p *Process) on(e event) (from state, err error) {
	from = p.state
	for _, t := range transitions {
		if t.in&from == 0 || t.on != e {
			continue
		}
		if t.next != same && t.next != never {
			p.state = t.next
		}
		err = t.err
	}
	return from, err
}
