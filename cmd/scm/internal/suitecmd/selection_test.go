package suitecmd

import (
	"slices"
	"testing"
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
