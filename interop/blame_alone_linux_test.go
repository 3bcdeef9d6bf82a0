package interop

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// A case with the runner that has no verdict does not clear a peer: the runner does not
// blame the other peer for what this one sent.
func TestNoVerdictIsNoEvidence(t *testing.T) {
	self, other := runner(t), meddler(t, "none")
	other.Name = "other"
	s := mustParse(t, passOne)
	for _, c := range []struct {
		name, absent string
		verdict      scenario.Verdict
		want         string
	}{
		{"when its own case is played", "2", scenario.Fail, "answer@x: what it said that it sent did not come"},
		{"whenever the runner is opposite", "2 4", scenario.NotRun,
			"nobody can tell whose doing it is: line 8: hang@other: no answer in time\nx with the runner: not run: x: the peer ended: exit status 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			starts := filepath.Join(t.TempDir(), "starts")
			liar := scenario.Program("x", "/bin/sh", "-c", `
				echo >>`+starts+`; case " `+c.absent+` " in *" $(($(wc -l <`+starts+`))) "*) exit 3;; esac
				while read -r verb rest; do case $verb in
				hello) echo "ok name=x can=stream";;
				send) echo ok n=1;;
				use) echo ok;;
				end) exec 3>&- 4>&-; echo ok;;
				*) echo unsupported;;
				esac; done`)
			if err := process.Probe(liar, process.DefaultTimeout); err != nil { // its first start
				t.Fatal(err)
			}
			settled(t)
			o := Run(context.Background(), []scenario.Case{onStream(s, liar, self), onStream(s, liar, other)}, nil, Options{Runner: self, Timeout: deadline})
			if len(o.Results) != 2 || o.Results[0].Verdict != scenario.NotRun {
				t.Fatalf("got %+v", o)
			}
			r := o.Results[1]
			got := r.Why
			for _, f := range r.Findings {
				got += f.String()
			}
			if r.Verdict != c.verdict || got != c.want {
				t.Errorf("got %s: %s\nwant %s: %s", r.Verdict, got, c.verdict, c.want)
			}
		})
	}
}

// Who sends a file to a socket of a later case has it, and not the one at whose socket it
// lies and who has not received it yet.
func TestHolderIsNotWhoWasSentIt(t *testing.T) {
	self, other := runner(t), meddler(t, "none")
	other.Name = "other"
	s := mustParse(t, passOne)
	const leak = "leak@x: a is still open somewhere after the end of the case"
	for _, c := range []struct {
		name  string
		sends bool
	}{{"park what it sends", true}, {"park what it receives", false}} {
		t.Run(c.name, func(t *testing.T) {
			liar := meddler(t, c.name)
			settled(t)
			with := func(p *scenario.Peer) []scenario.Case {
				one := onStream(s, p, liar)
				if c.sends {
					one = onStream(s, liar, p)
				}
				return []scenario.Case{one, one}
			}
			o := Run(context.Background(), append(with(self), with(other)...), nil, Options{Runner: self, Timeout: deadline})
			if len(o.Results) != 4 {
				t.Fatalf("got %+v", o)
			}
			if got := finding(t, o.Results[2]); got != leak {
				t.Errorf("got %s, want %s", got, leak)
			}
			// Played alone with the runner, it has no later socket: nobody can tell which of the two it is.
			o = Run(context.Background(), with(other), nil, Options{Runner: self, Timeout: deadline})
			if got := finding(t, o.Results[0]); !strings.HasSuffix(got, "; neither does so with the runner: it may be the other one's doing") {
				t.Errorf("got %s", got)
			}
		})
	}
}
