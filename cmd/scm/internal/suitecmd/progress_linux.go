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

// newProgress shows the progress of the run on f until stop is called. On a terminal it replaces one line, and removes
// it at the end. Elsewhere it prints a line after 5 seconds, and then every 15 seconds. Call count for each result.
func newProgress(f *os.File, total int) (count func(scenario.Result), stop func()) {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return lineProgress(f, progressText+"\n", total, 5*time.Second, 15*time.Second)
	}
	count, stopLines := lineProgress(f, "\r"+progressText, total, 100*time.Millisecond, 100*time.Millisecond)
	return count, func() {
		stopLines()
		fmt.Fprint(f, "\r\x1b[K")
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
