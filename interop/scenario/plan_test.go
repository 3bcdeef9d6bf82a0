package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
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

// A peer with a fixed payload of another byte plays what is written for 00, if the other peer
// has no fixed payload or the same one.
func TestPlanWithAFixedPayload(t *testing.T) {
	hello := func(payload string) contract.Hello {
		return contract.Hello{Can: []string{"stream"}, Payload: payload}
	}
	one, other, long := &Peer{Name: "one", Hello: hello("21")}, &Peer{Name: "other", Hello: hello("00")}, &Peer{Name: "long", Hello: hello("2121")}
	free := &Peer{Name: RunnerName, Hello: hello("")}
	fixed := mustParse(t, rule+"on stream\nfiles a=memfd\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n")
	mixed := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< ok n=1\nA> send payload=01 fds=-\nA< ok n=1\n")
	all := Plan([]*Scenario{fixed}, []*Peer{one, other, long}, free)
	for name, want := range map[string]string{
		"one/runner": "21", "runner/one": "21", "one/one": "21", "runner/runner": "00", "other/runner": "00",
		"one/other": "", "other/one": "", "long/runner": "",
	} {
		c := all[slices.IndexFunc(all, func(c Case) bool { return c.Name() == "group/id/stream/"+name })]
		if why := c.Unplayable(); (why == "") != (want != "") {
			t.Errorf("%s: %q", name, why)
			continue
		}
		said, heard := c.Scenario.Steps[0], c.Scenario.Steps[3].Wants[0]
		if want != "" && (said.Text != "send payload="+want+" fds=a" || said.Command.Fields["payload"] != want ||
			heard.Text != "ok n=1 payload="+want+" fds=a" || heard.Line.Fields["payload"] != want || c.Scenario.Hash != fixed.Hash) {
			t.Errorf("%s: says %q, hears %q", name, said.Text, heard.Text)
		}
	}
	for _, c := range Plan([]*Scenario{mixed}, []*Peer{one}, free) {
		if why := c.Unplayable(); (c.A == one || c.B == one) && !strings.HasSuffix(why, "its payload is 21") {
			t.Errorf("%s: %q", c.Name(), why)
		}
	}
	if fixed.Steps[0].Command.Fields["payload"] != "00" {
		t.Error("the scenario itself has changed")
	}
}
