//go:build unix

package httpdrain

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

var IsUnread = isUnread

func (s *Server) DrainAndLog(ctx context.Context, log *slog.Logger) { s.drainAndLog(ctx, log) }

// SetStopTime changes how long clients may take after SIGTERM.
func SetStopTime(d time.Duration) { stopTime = d }

// Stop makes the time of all timers pass, as when the process is stopped, until the test ends.
func Stop(t *testing.T) {
	now = func() time.Time { return time.Now().Add(2 * headerTime) }
	t.Cleanup(func() { now = time.Now })
}

// Looks is how often Drain looks whether a connection has sent a header.
const Looks = 1 + readLooks

// Timers replaces the timers of connections without a request, until the test ends. It returns what they call.
func Timers(t *testing.T) <-chan func() {
	timers := make(chan func(), 10)
	afterFunc = func(d time.Duration, f func()) *time.Timer {
		if d != headerTime-readTime && d != readTime {
			t.Errorf("a timer of %v", d)
		}
		timers <- f
		return nil
	}
	t.Cleanup(func() { afterFunc = time.AfterFunc })
	return timers
}
