package interop

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// cutShort is a play of a run that is cut short already, of a peer with a garbage collector
// in this process that has a pipe open.
func cutShort(t *testing.T) (*play, *caseFile) {
	t.Helper()
	ctx, cut := context.WithCancel(context.Background())
	cut()
	f := file(t, "pipe-r")
	f.number = f.own
	x := &Peer{Name: "x", Hello: Hello{GC: true}}
	sd := &side{process: &process{peer: x, pid: os.Getpid()}, live: map[int]kept{}}
	return &play{
		session:   &session{rules: rules{ctx: ctx, timeout: time.Hour, witness: &witness{}, holders: &holders{}}},
		k:         &kit{socks: map[Role]int{RoleA: -1, RoleB: -1}, c: Case{Scenario: &Scenario{}, A: x, B: x}, files: []*caseFile{f}, byIdentity: map[identity][]*caseFile{f.identity: {f}}},
		sides:     map[Role]*side{RoleA: sd, RoleB: sd},
		convicted: map[held]bool{},
		leaked:    map[*caseFile]bool{},
	}, f
}

// A run that is cut short waits for no garbage collector, and for nobody to close a file.
func TestWaitsAreCutShort(t *testing.T) {
	for name, wait := range map[string]func(p *play) error{
		"of a leak":   func(p *play) error { return p.judgeLeaks(RoleB, 0, true) },
		"of a holder": func(p *play) error { return p.judgeHolders() },
		"of eof":      func(p *play) error { return p.verbEOF(Step{Role: RoleR, Line: 1}, []string{"a"}) },
	} {
		p, f := cutShort(t)
		number(t, f.own) // somebody else has it
		ended := make(chan error, 1)
		go func() { ended <- wait(p) }()
		select {
		case err := <-ended:
			if !errors.Is(err, errCut) || len(p.result.Findings) > 0 {
				t.Errorf("%s: got %v, %v", name, err, p.result.Findings)
			}
		case <-time.After(DefaultTimeout):
			t.Errorf("the wait %s goes on", name)
		}
	}
}
