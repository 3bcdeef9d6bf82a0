//go:build linux && go1.25

package handover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
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

// When the process that Upgrade has started has exited, only the end of its attempt says whether it served, or why not.
func TestUpgradeWaitsForTheEndOfTheAttempt(t *testing.T) {
	for _, served := range []bool{true, false} {
		cmd := reexec.Command("exits")
		status := cmd.Run()
		synctest.Test(t, func(t *testing.T) {
			p := &Process{machine: newMachine(told)}
			a := &attempt{peer: &peer{pid: cmd.Process.Pid}, over: make(chan struct{})}
			p.server.attempt, p.server.upgrade = a, new(upgrade)
			exited := make(chan error)
			done := inBackground(func() error { return p.await(context.Background(), cmd, exited) })
			exited <- status
			synctest.Wait()
			if served {
				p.endAttempt(a, nil)
				if err := <-done; err != nil {
					t.Error(err)
				}
			} else {
				p.endAttempt(a, errors.New("no memory"))
				wantError(t, <-done, "no memory")
			}
		})
	}
}
