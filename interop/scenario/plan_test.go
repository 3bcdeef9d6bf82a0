package scenario

import (
	"slices"
	"strings"
	"testing"
)

func names(cases []Case) (list []string) {
	for _, c := range cases {
		list = append(list, c.Name())
	}
	return list
}

func TestPlan(t *testing.T) {
	x, y := &Peer{Name: "x"}, &Peer{Name: "y"}
	runner := &Peer{Name: RunnerName, kernel: &Peer{Name: KernelName}}
	for _, c := range []struct {
		head string
		want string
	}{
		{"on stream", "stream/x/x stream/x/y stream/x/runner stream/y/x stream/y/y stream/y/runner " +
			"stream/runner/x stream/runner/y stream/runner/runner"},
		{"on stream\nplay solo", "stream/x/runner stream/runner/x stream/y/runner stream/runner/y stream/runner/runner"},
		{"on stream\nplay sender", "stream/x/runner stream/y/runner stream/runner/runner"},
		{"on stream\nplay receiver", "stream/runner/x stream/runner/y stream/runner/runner"},
		{"on dgram seqpacket\nplay sender", "dgram/x/runner dgram/y/runner dgram/runner/runner " +
			"seqpacket/x/runner seqpacket/y/runner seqpacket/runner/runner"},
		{"on stream dgram\nplay kernel", "stream/kernel/kernel dgram/kernel/kernel"},
	} {
		s := mustParse(t, rule+c.head+"\nA> end\nA< ok\n")
		var want []string
		for _, n := range strings.Fields(c.want) {
			want = append(want, "group/id/"+n)
		}
		if got := names(Plan([]*Scenario{s}, []*Peer{x, y}, runner)); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", c.head, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	s := mustParse(t, rule+"on stream dgram\nA> end\nA< ok\n")
	all := Plan([]*Scenario{s}, []*Peer{{Name: "x"}}, &Peer{Name: RunnerName})
	patterns := func(text string) (list []Pattern) {
		for _, w := range strings.Fields(text) {
			p, err := ParsePattern(w)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		return list
	}
	for _, c := range []struct{ run, skip, want string }{
		{"", "", "stream/x/x stream/x/runner stream/runner/x stream/runner/runner dgram/x/x dgram/x/runner dgram/runner/x dgram/runner/runner"},
		{"**/x/x", "", "stream/x/x dgram/x/x"},
		{"**/x/x group/id/dgram/runner", "", "stream/x/x dgram/x/x dgram/runner/x dgram/runner/runner"},
		{"", "**/x/** */*/stream", "dgram/runner/runner"},
		{"*/*/dgram", "**/x/**", "dgram/runner/runner"},
		{"**/x/x **/x/x", "", "stream/x/x dgram/x/x"},
		{"**/x/x", "*/*/*/x", ""},
	} {
		var want []string
		for _, n := range strings.Fields(c.want) {
			want = append(want, "group/id/"+n)
		}
		got, err := Filter{Run: patterns(c.run), Skip: patterns(c.skip)}.Apply(all)
		if err != nil || !slices.Equal(names(got), want) {
			t.Errorf("run %s, skip %s: got %v, %v; want %v", c.run, c.skip, names(got), err, want)
		}
	}
	for _, f := range []Filter{
		{Run: patterns("**/x/x **/nobody")},
		{Skip: patterns("**/x/x **/nobody")},
	} {
		if got, err := f.Apply(all); err == nil || err.Error() != `pattern "**/nobody" matches no case` {
			t.Errorf("got %v, %v", names(got), err)
		}
	}
}
