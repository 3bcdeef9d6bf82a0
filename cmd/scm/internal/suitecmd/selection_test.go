package suitecmd

import (
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

func TestPeerWords(t *testing.T) {
	for command, want := range map[string][]string{
		"./peer":                     {"./peer"},
		" python3  a/peer.py --x=1 ": {"python3", "a/peer.py", "--x=1"},
		"env A=b /x/peer":            {"env", "A=b", "/x/peer"},
		"A=b ./peer":                 nil,
		"-x":                         nil,
		"./peer 'a b'":               nil,
		"~/peer":                     nil,
		"./peer $HOME":               nil,
		"./peer\n./other":            nil,
		"./peer\tx":                  nil,
		"./peer *":                   nil,
		"./peer #x":                  nil,
		"./peer 2>log":               nil,
		"./péer":                     nil,
	} {
		if want == nil {
			want = []string{"/bin/sh", "-c", "exec " + command}
		}
		if got := peerWords(command); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
	}
}

// A run is about peers: only a user who selects kernel scenarios is told that they need --kernel.
func TestKernelScenariosLeftOut(t *testing.T) {
	for _, c := range []struct {
		s    selection
		want bool
	}{
		{selection{}, false},
		{selection{run: []string{"truncation/ctrunc-two-of-three"}}, false},
		{selection{run: []string{"basics/pass-one-fd", "basics/fd-lowest-free-number"}}, false}, // the second pattern selects no others
		{selection{run: []string{"basics/*"}}, true},
		{selection{skip: []string{"basics/fd-lowest-free-number"}}, true},
		{selection{skip: []string{"truncation/ctrunc-two-of-three"}}, false},
		{selection{run: []string{"basics/*"}, kernel: true}, false},
	} {
		p, err := c.s.newPlan()
		if err == nil {
			p.runner = scenario.RunnerPeer()
			err = p.selectCases()
		}
		if err != nil || p.noKernel > 0 != c.want {
			t.Errorf("%+v: got %d scenarios, %v, want some: %v", c.s, p.noKernel, err, c.want)
		}
	}
}
