package interop

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// cutShort is a play of a run that is cut short already, of a peer with a garbage collector
// in this process that has a pipe open.
func cutShort(t *testing.T) (*play, *witness.File) {
	t.Helper()
	ctx, cut := context.WithCancel(context.Background())
	cut()
	f := pipeEnd(t)
	f.Number = f.Own
	x := &scenario.Peer{Name: "x", Hello: contract.Hello{GC: true}}
	sd := &side{Process: &process.Process{Peer: x, Pid: os.Getpid()}, live: map[int]tracked{}}
	return &play{
		session:  &session{shared: shared{ctx: ctx, timeout: time.Hour, witness: &witness.Witness{}, holders: &holders{}}},
		k:        &kit{socks: map[scenario.Role]int{scenario.RoleA: -1, scenario.RoleB: -1}, c: scenario.Case{Scenario: &scenario.Scenario{}, A: x, B: x}, files: []*witness.File{f}, byIdentity: map[witness.Identity][]*witness.File{f.Identity: {f}}},
		sides:    map[scenario.Role]*side{scenario.RoleA: sd, scenario.RoleB: sd},
		reported: map[held]bool{},
		leaked:   map[*witness.File]bool{},
	}, f
}

// A run that is cut short looks at no more numbers, and there is a limit for how many a look
// may be about.
func TestLooksHaveLimits(t *testing.T) {
	p, f := cutShort(t)
	p.sides[scenario.RoleB].Peer.Hello.GC = false
	number(t, f.Own)
	if err := p.checkLeaks(scenario.RoleB, 0, true); !errors.Is(err, process.ErrCut) {
		t.Errorf("got %v, %v", err, p.result.Findings)
	}
	p.ctx = t.Context()
	looks := mostLooked
	if leaks, err := p.leaksIn(os.Getpid(), scenario.RoleB, true, &looks); err == nil || err.Error() != "more than 100000 numbers" {
		t.Errorf("got %v, %v", leaks, err)
	}
}

// A run that is cut short waits for no garbage collector, and for nobody to close a file.
func TestWaitsAreCutShort(t *testing.T) {
	for name, wait := range map[string]func(p *play) error{
		"of a leak":   func(p *play) error { return p.checkLeaks(scenario.RoleB, 0, true) },
		"of a holder": func(p *play) error { return p.checkHolders() },
		"of eof": func(p *play) error {
			return p.verbEOF(scenario.Step{Role: scenario.RoleR, Line: 1, Act: scenario.Act{Verb: "eof", Name: "a"}})
		},
	} {
		p, f := cutShort(t)
		number(t, f.Own) // somebody else has it
		ended := make(chan error, 1)
		go func() { ended <- wait(p) }()
		select {
		case err := <-ended:
			if !errors.Is(err, process.ErrCut) || len(p.result.Findings) > 0 {
				t.Errorf("%s: got %v, %v", name, err, p.result.Findings)
			}
		case <-time.After(process.DefaultTimeout):
			t.Errorf("the wait %s goes on", name)
		}
	}
}
