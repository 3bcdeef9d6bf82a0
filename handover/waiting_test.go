//go:build linux && go1.25

package handover

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// A manager never reads, and its queue is full. Nothing is dropped while the Process is open. After Close, all that
// waits has ten seconds together. There is a warning that both processes serve only if they do.
func TestNotificationsWaitUntilClose(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, c := range []struct {
		ending        context.Context
		pid, warnings int
	}{
		{context.Background(), os.Getpid(), 1},
		{context.Background(), 1 << 30, 0}, // there is no such process
		{ended, os.Getpid(), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			name := filepath.Join(fdtest.ShortDir(t), "notify")
			l := must(scm.ListenPacket(context.Background(), "unixgram", name))
			defer func() { _ = l.Close() }()
			t.Setenv("NOTIFY_SOCKET", name)
			var log logged
			m := dialManager(context.Background(), log.logger())
			m.fill()
			var tries atomic.Int32
			m.tell(func(sock wire.Socket) error { tries.Add(1); return wire.NotifyReady(sock) })
			told := inBackground(func() error { return m.setMain(c.ending, c.pid, -1) })
			time.Sleep(time.Minute)
			const warning = "WARN handover: the service manager has not answered, so both processes serve manager="
			if n := log.count(warning + name); len(told) > 0 || n != c.warnings || tries.Load() > 700 {
				t.Errorf("process %d: %d warnings, and %d attempts to send READY in a minute", c.pid, n, tries.Load())
			}
			closed := time.Now()
			time.AfterFunc(time.Hour, m.drop) // if Close does not
			m.close()
			if d := time.Since(closed); d != notifyTime {
				t.Errorf("Close has waited for %v", d)
			}
			<-told
			if d, n := time.Since(closed), log.count("cannot notify"); d > managerTime+time.Second || n != 2 {
				t.Errorf("%d notifications dropped %v after Close", n, d)
			}
		})
	}
}
