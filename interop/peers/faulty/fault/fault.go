//go:build linux

// Package fault implements the faults of the faulty peers. Each fault is a mistake that a
// library or a peer could make. It also describes the finding that the runner must report for
// this mistake.
package fault

import (
	"io"
	"maps"
	"time"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A Fault is a mistake that a faulty peer makes. Each function in a Fault replaces or alters one
// step that a correct peer takes. If it is nil, the peer carries out that step correctly.
type Fault struct {
	What string // what the peer does wrong

	// The runner must report a finding whose check is one of Checks and whose text contains Text.
	Checks []scenario.Check
	Text   string

	EndsPair bool // each case costs a new pair of processes
	Slow     bool // the runner waits for an answer, or for the end of a file, until its timeout
	Process  bool // it depends on what the process did in earlier cases, so no scenario finds it by itself

	send func(s *socket, m peer.Message) (int, error)
	recv func(s *socket, r peer.Room) (peer.Received, error)

	message func(m *peer.Message)    // changes the arguments of a send
	room    func(r *peer.Room)       // changes the arguments of a receive
	spoil   func(got *peer.Received) // changes the result of a receive

	say func(answer []byte) []byte // returns what to write instead of the answer to a successful receive
}

// All returns all faults, keyed by name. A fault concerns how a peer sends, how it
// receives, or how it answers the runner.
func All() map[string]Fault {
	all := map[string]Fault{}
	for _, faults := range []map[string]Fault{sendFaults, recvFaults, answerFaults} {
		maps.Copy(all, faults)
	}
	return all
}

// Forever is how long a peer sleeps if its fault is to stop answering. It is longer than any
// timeout of the runner, but finite, so that a peer that is never killed exits eventually.
const Forever = 10 * time.Minute

// Library returns a library with the fault.
func Library(name string, f Fault) peer.Library {
	return library(name, func(sock int) peer.Socket { return &socket{fd: sock, fault: f} })
}

// Strict returns a library without faults that rejects everything that the contract allows it
// to reject.
func Strict() peer.Library {
	return library("strict", func(sock int) peer.Socket { return &strict{socket: socket{fd: sock}} })
}

// Refusing returns a library without faults that claims these words of can=, but supports no call that needs one of
// them.
func Refusing(words []string) peer.Library {
	return library("refusing", func(sock int) peer.Socket { return &refusing{socket{fd: sock}, words} })
}

// Closers contains the functions that a library of Closing can call with its socket when a call fails.
var Closers = map[string]func(sock int){
	"now": hangUp,
	"later": func(sock int) {
		go func() {
			delay := unix.NsecToTimespec(int64(20 * time.Millisecond))
			_ = unix.Nanosleep(&delay, nil) // a timer of the runtime would need a free descriptor
			hangUp(sock)
		}()
	},
	"never": func(int) {},
}

// Closing returns the library of Strict, but its peer says in hello that it closes its socket when a
// call fails. The argument is a key of Closers.
func Closing(when string) peer.Library {
	lib := library("closing", func(sock int) peer.Socket {
		return &closing{strict{socket: socket{fd: sock}}, Closers[when]}
	})
	lib.Closes = true
	return lib
}

func library(name string, open func(sock int) peer.Socket) peer.Library {
	return peer.Library{
		Name:    name,
		Version: "1",
		Can:     "stream,dgram,seqpacket,multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return open(sock), nil },
	}
}

// hangUp closes a socket as some libraries do when a call fails.
func hangUp(sock int) { _ = unix.Close(sock) }

// Answers returns a writer that applies the fault to each answer to a successful receive
// before it writes the answer to w.
func Answers(w io.Writer, f Fault) io.Writer { return answers{w, f} }
