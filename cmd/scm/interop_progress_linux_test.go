package main

import (
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

// A lineWriter passes on the lines that are written to it, or drops them if the channel is full.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}

// A run without a terminal prints its progress at regular times, even while no case ends.
func TestLineProgress(t *testing.T) {
	lines := make(lineWriter)
	count, stop := lineProgress(lines, 7, time.Millisecond, time.Millisecond)
	const before, after = "scm: 0 of 7 cases, 0 not as expected\n", "scm: 2 of 7 cases, 1 not as expected\n"
	if got := <-lines; got != before || !progressLine.MatchString(got) {
		t.Errorf("got %q", got)
	}
	count(scenario.Result{Verdict: scenario.Pass})
	count(scenario.Result{Verdict: scenario.Fail})
	for range 2 {
		for <-lines != after { // a line may have been due before
		}
	}
	stop()
	select {
	case got := <-lines:
		t.Errorf("printed %q after the end", got)
	default:
	}
}
