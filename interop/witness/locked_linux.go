package witness

import (
	"errors"
	"time"
)

// ErrLocked says that the kernel did not answer in time.
var ErrLocked = errors.New("the kernel does not answer: somebody keeps it locked")

// patience is how long the kernel may take for an answer. It takes microseconds, but for a
// lock.
const patience = 5 * time.Second

// InTime asks the kernel what it answers under a lock that a peer can hold: while a thread
// of the peer's is in a system call that copies to or from memory whose page nobody brings,
// the offset of a file, a pipe or an epoll can be locked, and no signal ends the wait for
// it. InTime then returns ErrLocked, and the question goes on by itself until the lock is
// free; what it is answered goes to nobody.
func InTime[T any](question func() (T, error)) (T, error) { return Within(patience, question) }

// Within is InTime for what may take longer.
func Within[T any](patience time.Duration, question func() (T, error)) (answer T, err error) {
	type reply struct {
		answer T
		err    error
	}
	replies := make(chan reply, 1)
	go func() {
		answer, err := question()
		replies <- reply{answer, err}
	}()
	// This process may have been stopped meanwhile: the second wait is for what came then.
	for _, wait := range []time.Duration{patience, min(patience, 100*time.Millisecond)} {
		late := time.NewTimer(wait)
		select {
		case r := <-replies:
			late.Stop()
			return r.answer, r.err
		case <-late.C:
		}
	}
	return answer, ErrLocked
}
