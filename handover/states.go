package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
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
	leaving                     // Close has been called in the state told, and the successor may serve
	closed                      // Close has been called, or Ready has failed
	same      state = 0         // the event does not change the state
)

// An event is what happens to a Process, as a bit. The other process is the predecessor until the service manager knows
// this process, and a successor after that.
type event int

const (
	gotHello   event = 1 << iota // a process wants to take over
	gotAnswer                    // ready of a successor, then any message but abort, or go of the predecessor
	gotFailure                   // the attempt: an abort, the end of the stream, a deadline, or this process gives up
	peerDied                     // the predecessor, which :life proves
	gotMain                      // the service manager, if any, knows which process is the main one
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

// transitions says what follows each event in each state.
var transitions = []struct {
	in   state
	on   event
	does string
	why  string // the event cannot occur; then, nothing follows
	next state
	err  error // for the caller of on
}{
	{in: preparing, on: callReady, does: "sends ready, if there is a predecessor", next: asking},
	{in: preparing, on: callClose, does: "sends abort to the predecessor; the first process removes the file of the Unix socket", next: closed},
	{in: preparing, on: gotAnswer | gotFailure | peerDied, why: "Start has ended, and nothing is read before Ready"},
	{in: preparing | asking, on: gotHello, why: "processes are not accepted yet, and wait in the queue of the Unix socket"},
	{in: preparing | asking, on: gotMain, why: "it follows going"},
	{in: preparing | asking, on: callUpgrade, does: "returns an error", err: errNotReady},
	{in: asking, on: gotAnswer, does: "writes the PID file and sends going; Ready returns nil", next: serving},
	{in: asking, on: peerDied, does: "Ready returns nil: the predecessor can neither serve nor hand over to another process", next: serving},
	{in: asking, on: gotFailure, does: "Ready returns an error", next: closed},
	{in: asking, on: callClose, does: "Ready removes the PID file if it has written it, sends abort, and returns an error", next: closed},
	{in: asking | serving | handing | told | replaced, on: callReady, does: "returns an error", err: errReadied},
	{in: serving, on: gotHello, does: "sends the sockets", next: handing},
	{in: serving, on: gotMain, does: "or the end of the stream: lets the manager store the sockets; only then, a successor receives them"},
	{in: serving, on: gotAnswer | gotFailure, why: "no successor has the sockets, and the wait for main has no deadline"},
	{in: serving, on: callClose, does: "removes the PID file and, unless it waits for main, the file of the Unix socket", next: closed},
	{in: serving | handing | told | replaced | leaving | closed, on: peerDied, why: "there is no predecessor, or its death no longer matters"},
	{in: serving | handing | told, on: callUpgrade, does: "starts a process, which sends hello"},
	{in: handing | told, on: gotHello, does: "lets the process wait for its turn"},
	{in: handing, on: gotAnswer, does: "sends go", next: told},
	{in: handing, on: gotMain, why: "it precedes this state"},
	{in: handing, on: callClose, does: "ends the attempt as a failure does, and then removes the PID file; the files of sockets stay", next: closed},
	{in: handing | told, on: gotFailure, does: "writes a byte into :life and sends abort; after go, writes the PID file again", next: serving},
	{in: told, on: gotAnswer, does: "logs a message other than going, or an error; announces the successor to the manager, and waits for main"},
	{in: told, on: gotMain, does: "sends main, and closes the Unix socket and the channel of Replaced", next: replaced},
	{in: told, on: callClose, does: "leaves the files to the successor, which may serve", next: leaving},
	{in: replaced, on: gotAnswer | gotFailure | gotMain, why: "the conversation has ended"},
	{in: replaced, on: gotHello, does: "disconnects the process, which reaches the successor when it tries again", err: errReplaced},
	{in: replaced, on: callUpgrade, does: "returns an error", err: errReplaced},
	{in: replaced, on: callClose, does: "leaves the files to the successor, which serves", next: closed},
	{in: leaving, on: gotFailure, does: "ends the attempt", next: closed, err: errClosed},
	{in: leaving, on: gotAnswer | gotMain, does: "closes the channel of Replaced, and no longer tells the manager", next: closed},
	{in: leaving | closed, on: gotHello, does: "disconnects the process, which tries again", err: errClosed},
	{in: leaving | closed, on: callReady | callUpgrade, does: "returns an error", err: errClosed},
	{in: leaving | closed, on: callClose, does: "returns nil"},
	{in: closed, on: gotAnswer, does: "sends abort", err: errClosed},
	{in: closed, on: gotFailure, does: "ends the attempt that Close has interrupted", err: errClosed},
	{in: closed, on: gotMain, does: "changes nothing, because Close has dealt with the files", err: errClosed},
}

// A machine is the state of a Process, with what each transition sets.
type machine struct {
	mu       sync.Mutex // protects the Process's succession and server, too
	state    state
	replaced chan struct{}   // closed when a successor serves
	ending   context.Context // done when the state is leaving or closed
	end      context.CancelFunc
}

func newMachine(in state) machine {
	ending, end := context.WithCancel(context.Background())
	return machine{state: in, replaced: make(chan struct{}), ending: ending, end: end}
}

// on enters the state that follows an event, and returns the state before. mu must be held.
func (m *machine) on(e event) (from state, err error) {
	from = m.state
	for _, t := range transitions {
		if t.in&from == 0 || t.on&e == 0 {
			continue
		}
		if t.next != same {
			m.state = t.next
			if t.next == replaced || from == leaving && t.err == nil {
				close(m.replaced)
			}
			if t.next&(leaving|closed) != 0 {
				m.end()
			}
		}
		return from, t.err
	}
	panic("unreachable: TestStates finds a transition for each state and event")
}

// isClosed reports whether the state is leaving or closed.
func (m *machine) isClosed() bool { return m.ending.Err() != nil }

// isReplaced reports whether a successor is serving.
func (m *machine) isReplaced() bool {
	select {
	case <-m.replaced:
		return true
	default:
		return false
	}
}
