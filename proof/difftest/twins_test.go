//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/scm-rights/scm/internal/ownthread"
	"golang.org/x/sys/unix"
)

// twins are two worlds, one for each backend, that start in the same state.
type twins struct {
	*place
	workers [2]*worker
}

// A worker runs the sequences of a world on a thread with its own descriptor table and its own working folder.
type worker struct {
	name string
	work chan *sequence
	done chan []outcome
	err  chan error
}

// hang is the time after which a sequence is considered to hang. No call in it blocks.
const hang = 30 * time.Second

// newTwins makes two worlds that are the same.
func newTwins() (*twins, error) {
	at, err := newPlace("")
	if err != nil {
		return nil, err
	}
	defer at.closeFiles()
	p := &twins{place: at}
	for i, b := range backends {
		if p.workers[i], err = at.start(b); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// start makes a world.
func (p *place) start(b Backend) (*worker, error) {
	w := &worker{name: b.Name, work: make(chan *sequence), done: make(chan []outcome), err: make(chan error)}
	go ownthread.Run(func() { w.live(b, p) })
	return w, <-w.err
}

// live runs the sequences.
func (w *worker) live(b Backend, at *place) {
	world, err := separate(b, at)
	w.err <- err
	if err != nil {
		return
	}
	for s := range w.work {
		w.done <- world.run(s)
	}
	_ = world.closeFrom(world.first)
	close(w.done)
}

// separate makes a world with its own descriptor table and working folder.
func separate(b Backend, at *place) (*world, error) {
	if err := unix.Unshare(unix.CLONE_FILES | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	dir := filepath.Join(at.dir, b.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Chdir(dir); err != nil {
		return nil, fmt.Errorf("chdir: %w", err)
	}
	return newWorld(b, at)
}

// close ends the worlds. Their threads end, which closes their descriptor tables. It does not wait for a
// world that hangs.
func (p *twins) close() {
	for _, w := range p.workers {
		if w == nil {
			continue
		}
		close(w.work)
		select {
		case <-w.done:
		case <-time.After(time.Second):
		}
	}
	_ = os.RemoveAll(p.dir)
}

// errElsewhere says that a sequence failed with ETOOMANYREFS, which depends on the descriptors that the
// user's other processes have in flight.
var errElsewhere = errors.New("too many descriptors are in flight")

// run runs a sequence in both worlds and describes the first difference between their outcomes. After a
// difference, the twins must not be used again.
func (p *twins) run(s *sequence) (different string, err error) {
	for _, w := range p.workers {
		w.work <- s
	}
	late := time.NewTimer(hang)
	defer late.Stop()
	var all [2][]outcome
	for i, w := range p.workers {
		select {
		case all[i] = <-w.done:
		case <-late.C:
			return fmt.Sprintf("%s hangs", w.name), nil
		}
	}
	for i := range all[0] {
		a, b := &all[0][i], &all[1][i]
		if i == 0 && (a.err != nil || b.err != nil) {
			return "", errors.Join(a.err, b.err)
		}
		if p.limited && (a.err == unix.ETOOMANYREFS || b.err == unix.ETOOMANYREFS) {
			return "", errElsewhere
		}
		if d := p.difference(a, b); d != "" {
			return fmt.Sprintf("%s, %s against %s: %s", where(i, len(all[0])), p.workers[0].name, p.workers[1].name, d), nil
		}
	}
	return "", nil
}

// where names the step of the ith outcome.
func where(i, n int) string {
	switch i {
	case 0:
		return "the set-up"
	case n - 1:
		return "the end"
	}
	return fmt.Sprintf("step %d", i)
}
