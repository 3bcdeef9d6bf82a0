package handover

import (
	"errors"
	"fmt"
	"os"
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

// An event is what happens to a Process, as a bit. The other process is the predecessor until the service manager knows
// this process, and a successor after that.
type event int

const (
	gotHello   event = 1 << iota // a process wants to take over
	gotAnswer                    // ready and going of a successor, or go of the predecessor
	gotFailure                   // the attempt: an abort, the end of the stream, a deadline, or this process gives up
	peerDied                     // the predecessor, which :life proves
	gotMain                      // the service manager, if there is one, knows which process is the main one
	callReady
	callClose
	callUpgrade
)

var (
	errClosed   = fmt.Errorf("the Process is closed: %w", os.ErrClosed)
	errReplaced = errors.New("a successor has replaced this process")
	errReadied  = errors.New("Ready has been called before")
	errNotReady = errors.New("Upgrade was called before Ready has returned nil")
)

// transitions says what follows each event in each state. docs/handover.md has the state that follows.
var transitions = []struct {
	in   state
	on   event
	does string // or why the event cannot occur
	next state
	err  error // for the caller of on
}{
	{preparing, callReady, "sends ready, if there is a predecessor", asking, nil},
	{preparing, callClose, "sends abort to the predecessor; the first process removes the file of the Unix socket", closed, nil},
	{preparing, gotAnswer | gotFailure | peerDied, "Start has ended, and nothing is read before Ready", never, nil},
	{preparing | asking, gotHello, "processes are not accepted yet, and wait in the queue of the Unix socket", never, nil},
	{preparing | asking, gotMain, "it follows going", never, nil},
	{preparing | asking, callUpgrade, "returns an error", same, errNotReady},
	{asking, gotAnswer, "writes the PID file and sends going; Ready returns nil", serving, nil},
	{asking, peerDied, "Ready returns nil: the predecessor can neither serve nor hand over to another process", serving, nil},
	{asking, gotFailure, "Ready returns an error", closed, nil},
	{asking, callClose, "Ready removes the PID file if it has written it, sends abort, and returns an error", closed, nil},
	{asking | serving | handing | told | replaced, callReady, "returns an error", same, errReadied},
	{serving, gotHello, "sends the sockets", handing, nil},
	{serving, gotMain, "or the end of the stream: lets the manager store the sockets; only then, a successor receives them", same, nil},
	{serving, gotAnswer | gotFailure, "no successor has the sockets, and the wait for main has no deadline", never, nil},
	{serving, callClose, "removes the PID file and, unless it waits for main, the file of the Unix socket", closed, nil},
	{serving | handing | told | replaced | closed, peerDied, "there is no predecessor, or its death does not matter any more", never, nil},
	{serving | handing | told, callUpgrade, "starts a process, which sends hello", same, nil},
	{handing | told, gotHello, "lets the process wait for its turn", same, nil},
	{handing, gotAnswer, "sends go", told, nil},
	{handing, gotMain, "it precedes this state", never, nil},
	{handing, callClose, "ends the attempt as a failure does, and then removes the PID file; the files of sockets stay", closed, nil},
	{handing | told, gotFailure, "writes a byte into :life and sends abort; after go, writes the PID file again", serving, nil},
	{told, gotAnswer, "announces the successor to the manager, and waits for main", same, nil},
	{told, gotMain, "sends main, and closes the Unix socket and the channel of Replaced", replaced, nil},
	{told | replaced, callClose, "leaves the files to the successor, which may serve", closed, nil},
	{replaced, gotAnswer | gotFailure | gotMain, "the conversation has ended", never, nil},
	{replaced, gotHello, "disconnects the process, which reaches the successor when it tries again", same, errReplaced},
	{replaced, callUpgrade, "returns an error", same, errReplaced},
	{closed, gotHello, "disconnects the process, which tries again", same, errClosed},
	{closed, gotAnswer, "sends abort if it is ready or go; main follows going", same, errClosed},
	{closed, gotFailure, "ends the attempt, if there is one", same, errClosed},
	{closed, gotMain, "closes the channel of Replaced if a successor serves", same, errClosed},
	{closed, callReady | callUpgrade, "returns an error", same, errClosed},
	{closed, callClose, "returns nil", same, errClosed},
}

// on enters the state that follows an event, and returns the state before. p.mu must be held.
func (p *Process) on(e event) (from state, err error) {
	from = p.state
	for _, t := range transitions {
		if t.in&from != 0 && t.on&e != 0 {
			if t.next != same && t.next != never {
				p.state = t.next
			}
			return from, t.err
		}
	}
	panic("unreachable: TestStates finds a transition for each state and event")
}
