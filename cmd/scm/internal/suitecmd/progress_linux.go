package suitecmd

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// newProgress shows the progress of the run of a plan on f until stop is called. On a terminal it replaces one line,
// and removes it at the end. Elsewhere it prints a line after 5 seconds, and then every 15 seconds. Call count for each
// result. If the run is about some of the peers, the line counts their cases, like the last line of the run, but not
// the control.
func newProgress(f *os.File, p *plan) (count func(scenario.Result), stop func()) {
	isCounted := func(control bool) bool { return len(p.given) == 0 || !control }
	total := 0
	for _, c := range p.cases {
		if isCounted(c.Control()) {
			total++
		}
	}
	format, first, interval := progressText+"\n", 5*time.Second, 15*time.Second
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	terminal := err == nil
	if terminal {
		format, first, interval = "\r"+progressText, 100*time.Millisecond, 100*time.Millisecond
	}
	countLine, stopLines := lineProgress(f, format, total, first, interval)
	count = func(r scenario.Result) {
		if isCounted(r.Control()) {
			countLine(r)
		}
	}
	return count, func() {
		stopLines()
		if terminal {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

const progressText = "scm: %d of %d cases, %d not as expected"

// lineProgress prints the progress at these times, also if no case ends.
func lineProgress(w io.Writer, format string, total int, first, interval time.Duration) (count func(scenario.Result), stop func()) {
	var done, unexpected atomic.Int32
	count = func(c scenario.Result) {
		done.Add(1)
		if c.Unexpected() {
			unexpected.Add(1)
		}
	}
	return count, peers.Every(first, interval, func() {
		fmt.Fprintf(w, format, done.Load(), total, unexpected.Load())
	})
}
