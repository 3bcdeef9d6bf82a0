package interop

import (
	"context"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
)

// A peer that keeps a file locked that it has received holds nothing up: what cannot be
// told of it ends its case, and the run goes on.
func TestLockedFile(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	self := runner(t)
	locker := inside(t, func(sock int) peer.Socket {
		return adept{sock: sock, received: func(fds []int) {
			if len(fds) == 1 {
				server.KeepLocked(t, fds[0])
			}
		}}
	})
	settled(t)
	locks := mustParse(t, rule+"on stream\nfiles a=file\n"+
		"A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\nR> seek a=5\n")
	harmless := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n")
	ended := make(chan scenario.Outcome, 1)
	go func() {
		ended <- Run(context.Background(), []scenario.Case{onStream(locks, self, locker), onStream(harmless, self, locker)}, nil, Options{})
	}()
	select {
	case o := <-ended:
		for i, want := range []scenario.Verdict{scenario.NotRun, scenario.Pass} {
			if i >= len(o.Results) || o.Results[i].Verdict != want {
				t.Errorf("case %d: got %+v", i, o.Results)
				break
			}
		}
		if why := "line 9: lseek: the kernel does not answer: somebody keeps it locked"; o.Results[0].Why != why {
			t.Errorf("got %q", o.Results[0].Why)
		}
	case <-time.After(time.Minute):
		t.Error("the run goes on")
	}
}
