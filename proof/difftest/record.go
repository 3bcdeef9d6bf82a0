//go:build linux

package difftest

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/proof/must"
)

// random returns the sequences of a walk with a seed: the same ones each time.
func random(seed uint64, l *layout) iter.Seq[*sequence] {
	return func(yield func(*sequence) bool) {
		for i := uint64(0); ; i++ {
			c := chooser{choices: randomly{rand.New(rand.NewPCG(seed, i))}, layout: l}
			if !yield(c.sequence(8 + c.pick(40))) {
				return
			}
		}
	}
}

// Walk runs random sequences with one backend, until they have made a number of calls. It prints each step and its
// outcome. mark is called with the number of each call before the call, and with 0 after it.
//
// Walk makes the world of the calling thread, which must be locked to its goroutine. It creates files in the current
// folder. It gives the thread a descriptor table of its own, and leaves it full. It fails as package must does.
func Walk(out io.Writer, b Backend, mark func(n int), seed uint64, calls int) {
	record(out, b, mark, func(l *layout) iter.Seq[*sequence] {
		return func(yield func(*sequence) bool) {
			most := l.mostFDs()
			made := most.calls()
			if !yield(most) {
				return
			}
			for s := range random(seed, l) {
				s.prepare()
				if made >= calls || !yield(s) {
					return
				}
				made += s.calls()
			}
		}
	})
}

// Sizes runs the sequences of every size that docs/trust.md lists, like Walk. A random walk covers a size only by
// chance.
func Sizes(out io.Writer, b Backend, mark func(n int)) {
	record(out, b, mark, func(l *layout) iter.Seq[*sequence] { return l.everySize() })
}

func record(to io.Writer, b Backend, mark func(n int), sequences func(*layout) iter.Seq[*sequence]) {
	at := must.Get(newPlace("."))
	// Other threads open files too: glibc counts the processors when a thread first allocates memory.
	must.OK(os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_FILES)))
	w := must.Get(newWorld(b, at))
	w.mark = mark
	out := bufio.NewWriter(to)
	for s := range sequences(w.layout) {
		outcomes := w.run(s)
		must.OK(outcomes[0].err)
		for i := range outcomes {
			if i > 0 && i <= len(s.steps) {
				fmt.Fprintf(out, "%s\n", s.steps[i-1].words(w.layout))
			}
			fmt.Fprintf(out, "\t%s\n", w.outcomeWords(&outcomes[i]))
		}
	}
	must.OK(out.Flush())
}

// prepare makes a sequence fit for a recording. It avoids whatever the backends may do differently, or the
// kernel in each run. A socket with an option of two gets an address, because the kernel would bind it to a random one
// when it sends. An address is cut to the bytes that the kernel reads. A recording is kept in memory, so large messages
// are left to the tests, and to everySize.
func (s *sequence) prepare() {
	for i := range s.steps {
		step := &s.steps[i]
		if step.op == setOption && (step.option == unix.SO_PASSCRED || step.option == unix.SO_PASSPIDFD) {
			s.named = true
		}
		m := &step.msg
		m.name = m.name[:min(len(m.name), msg.NameBytes)]
		m.buffers = m.buffers[:min(len(m.buffers), 100)]
		for j, n := range m.buffers {
			m.buffers[j] = min(n, 4096)
		}
	}
}
