package httpdrain

import (
	"testing"
	"time"
)

// Timers replaces the timers of connections without a request, until the test ends. It returns what they call.
func Timers(t *testing.T) <-chan func() {
	timers := make(chan func(), 10)
	afterFunc = func(d time.Duration, f func()) *time.Timer {
		if d != headerTime {
			t.Errorf("a timer of %v", d)
		}
		timers <- f
		return nil
	}
	t.Cleanup(func() { afterFunc = time.AfterFunc })
	return timers
}
