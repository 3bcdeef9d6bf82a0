package interop

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
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

// A sender that is wrong now and then is right when it is played with the runner. What is
// found at the receiver says so: it may be the sender's doing.
func TestIntermittentSender(t *testing.T) {
	const hint = "; neither does so with the runner: it may be the other one's doing"
	s := mustParse(t, passOne)
	self := runner(t)
	for _, c := range []struct {
		name string
		send func(h adept, m peer.Message) (int, error)
		want string
	}{
		{"other bytes", func(h adept, m peer.Message) (int, error) {
			return h.Send(peer.Message{Buffers: [][]byte{{9}}, FDs: m.FDs})
		}, "answer@other: answered \"ok n=1 payload=09 fds=N flags=-\"\nnot ok n=1 payload=00 fds=a (payload is 09)" + hint},
		{"another file", func(h adept, m peer.Message) (int, error) {
			return h.Send(peer.Message{Buffers: m.Buffers, FDs: []int{h.sock}})
		}, "file@other: N is not the open file description of a" + hint},
		{"nothing", func(adept, peer.Message) (int, error) { return 1, nil },
			"hang@other: no answer in time" + hint},
	} {
		t.Run(c.name, func(t *testing.T) {
			settled(t)
			opened := 0
			moody := inside(t, func(sock int) peer.Socket {
				if opened++; opened == 1 {
					return once{adept{sock: sock}, c.send}
				}
				return adept{sock: sock}
			})
			other := scenario.Program("other", self.Command...)
			if err := process.Probe(other, process.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
			o := Run(context.Background(), []scenario.Case{onStream(s, moody, other)}, nil, Options{Runner: self, Timeout: deadline})
			if len(o.Results) != 1 {
				t.Fatalf("got %+v", o)
			}
			got := regexp.MustCompile(`\b\d+ is not|fds=\d+`).ReplaceAllStringFunc(finding(t, o.Results[0]), func(s string) string {
				return regexp.MustCompile(`\d+`).ReplaceAllString(s, "N")
			})
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// once sends in another way.
type once struct {
	adept
	send func(h adept, m peer.Message) (int, error)
}

func (h once) Send(m peer.Message) (int, error) { return h.send(h.adept, m) }
