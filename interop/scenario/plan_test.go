package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
)

func names(cases []Case) (list []string) {
	for _, c := range cases {
		list = append(list, c.Name())
	}
	return list
}

func TestPlan(t *testing.T) {
	for head, want := range map[string]string{
		"on stream": "stream/x/x stream/x/y stream/x/runner stream/y/x stream/y/y stream/y/runner " +
			"stream/runner/x stream/runner/y stream/runner/runner",
		"on stream\nplay solo":         "stream/x/runner stream/runner/x stream/y/runner stream/runner/y stream/runner/runner",
		"on stream\nplay receiver":     "stream/runner/x stream/runner/y stream/runner/runner",
		"on dgram stream\nplay sender": "dgram/x/runner dgram/y/runner dgram/runner/runner stream/x/runner stream/y/runner stream/runner/runner",
		"on stream dgram\nplay kernel": "stream/kernel/kernel dgram/kernel/kernel",
	} {
		s := mustParse(t, rule+head+"\nA> end\nA< ok\n")
		all := names(Plan([]*Scenario{s}, []*Peer{{Name: "x"}, {Name: "y"}}, RunnerPeer()))
		if got := strings.ReplaceAll(strings.Join(all, " "), "group/id/", ""); got != want {
			t.Errorf("%s:\n got %v\nwant %v", head, got, want)
		}
	}
}

// A run about some peers has their cases with every other peer, those of the runner with itself, and the kernel's.
func TestAbout(t *testing.T) {
	pair, kernel := mustParse(t, rule+"on stream\nA> end\nA< ok\n"), mustParse(t, rule+"on stream\nplay kernel\nA> end\nA< ok\n")
	all := Plan([]*Scenario{pair, kernel}, []*Peer{{Name: "x"}, {Name: "y"}, {Name: "z"}}, RunnerPeer())
	for given, want := range map[string]string{
		"x":   "x/x x/y x/z x/runner y/x z/x runner/x runner/runner kernel/kernel",
		"x y": "x/x x/y x/z x/runner y/x y/y y/z y/runner z/x z/y runner/x runner/y runner/runner kernel/kernel",
		"":    strings.ReplaceAll(strings.Join(names(all), " "), "group/id/stream/", ""),
	} {
		about := slices.DeleteFunc(slices.Clone(all), func(c Case) bool { return !c.About(strings.Fields(given)) })
		if got := strings.ReplaceAll(strings.Join(names(about), " "), "group/id/stream/", ""); got != want {
			t.Errorf("%q: got %v, want %v", given, got, want)
		}
	}
}

// Only an alternative that matches no case of a peer selects kernel cases.
func TestKernelOnly(t *testing.T) {
	pair, kernel := mustParse(t, rule+"on stream\nA> end\nA< ok\n"), mustParse(t, rule+"on stream\nplay kernel\nA> end\nA< ok\n")
	kernel.Name = "group/kernel"
	all := Plan([]*Scenario{pair, kernel}, []*Peer{{Name: "x"}}, RunnerPeer())
	for pattern, want := range map[string]bool{
		"**/kernel/kernel": true, "group/kernel": true, "*/*/*/{kernel,x}/*": true, "group/{id,kernel}": true,
		"group": false, "**": false, "group/*/stream": false, "group/id": false, "**/!x": false,
	} {
		p, err := expected.ParsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Filter{Run: []expected.Pattern{p}}).KernelOnly(all); len(got) > 0 != want {
			t.Errorf("%s: got %v, want a case: %v", pattern, names(got), want)
		}
	}
}

func TestSpare(t *testing.T) {
	s := mustParse(t, rule+"on stream\nA> end\nA< ok\n")
	var left []Case
	for _, c := range Plan([]*Scenario{s}, []*Peer{{Name: "old"}, {Name: "scm"}, {Name: "new", FewPairs: true}, {Name: "newer", FewPairs: true}}, RunnerPeer()) {
		if c.Spare("scm") {
			left = append(left, c)
		}
	}
	const want = "old/new old/newer new/old new/newer newer/old newer/new"
	if got := strings.ReplaceAll(strings.Join(names(left), " "), "group/id/stream/", ""); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFilter(t *testing.T) {
	s := mustParse(t, rule+"on stream dgram\nA> end\nA< ok\n")
	all := Plan([]*Scenario{s}, []*Peer{{Name: "x"}}, &Peer{Name: RunnerName})
	patterns := func(text string) (list []expected.Pattern) {
		for _, w := range strings.Fields(text) {
			p, err := expected.ParsePattern(w)
			if err != nil {
				t.Fatalf("%q: %v", w, err)
			}
			list = append(list, p)
		}
		return list
	}
	const noMatch = `pattern "**/absent" matches no case: no peer matches "absent"`
	for _, c := range []struct{ run, skip, want, err string }{
		{"**/x/x", "", "stream/x/x dgram/x/x", ""},
		{"**/x/x group/id/dgram/runner", "", "stream/x/x dgram/x/x dgram/runner/x dgram/runner/runner", ""},
		{"", "**/x/** */*/stream", "dgram/runner/runner", ""},
		{"*/*/dgram", "**/x/**", "dgram/runner/runner", ""},
		{"**/x/x", "*/*/*/x", "", ""},
		{"**/x/x **/absent", "", "", noMatch},
		{"", "**/x/x **/absent", "", noMatch},
		{"group/{id,ic}", "", "", `pattern "group/{id,ic}": the alternative "ic" matches no case: no scenario matches "ic"; did you mean "id"?`},
		{"", "*/*/{steram,dgram}", "", `pattern "*/*/{steram,dgram}": the alternative "steram" matches no case: no type of socket matches "steram"; did you mean "stream"?`},
		// the peer may take part in another run
		{"", "**/{x,absent}/**", "stream/runner/runner dgram/runner/runner", ""},
		{"**/x/x", "*/*/{stream,dgram}", "", ""},
	} {
		selected, err := Filter{Run: patterns(c.run), Skip: patterns(c.skip)}.Apply(all)
		got := strings.ReplaceAll(strings.Join(names(selected), " "), "group/id/", "")
		if got != c.want || fmt.Sprint(err) != cmp.Or(c.err, "<nil>") {
			t.Errorf("run %s, skip %s: got %v, %v; want %v", c.run, c.skip, got, err, c.want)
		}
	}
}

// A peer with a fixed payload of up to 16 bytes runs scenarios written for 00, if the other peer has no fixed payload
// or the same one.
func TestPlanWithAFixedPayload(t *testing.T) {
	var peers []*Peer
	sixteen := strings.Repeat("21", 16)
	for _, payload := range []string{"21", "00", sixteen, sixteen + "21", ""} {
		peers = append(peers, &Peer{Name: "p" + payload, Hello: contract.Hello{Can: []string{"stream"}, Payload: payload}})
	}
	fixed := mustParse(t, strings.Replace(simple, " dgram", "", 1)+"B> recv bytes=4096 fds=1\nB< ok n=0 payload=- fds=-\n")
	all := Plan([]*Scenario{fixed}, peers[:4], peers[4])
	for name, want := range map[string]string{
		"p21/p": "21", "p/p21": "21", "p21/p21": "21", "p/p": "00", "p00/p": "00", "p21/p00": "", "p00/p21": "",
		"p" + sixteen + "/p": sixteen, "p/p" + sixteen: sixteen, "p21/p" + sixteen: "", "p" + sixteen + "21/p": "", "p/p" + sixteen + "21": "",
	} {
		c := all[slices.IndexFunc(all, func(c Case) bool { return c.Name() == "group/id/stream/"+name })]
		if why := c.Unsupported(); (why == "") != (want != "") {
			t.Errorf("%s: unsupported because %q, want the payload %q", name, why, want)
		}
		got := []string{c.Scenario.Hash}
		for _, st := range c.Scenario.Steps {
			got = append(got, st.Text)
			for _, a := range st.Alternatives {
				got = append(got, a.Text)
			}
		}
		length := strconv.Itoa(len(want) / 2)
		is := []string{fixed.Hash, "send payload=" + want + " fds=a", "", "ok n=" + length,
			"recv bytes=" + length + " fds=1", "", "ok n=" + length + " payload=" + want + " fds=a", "recv bytes=4096 fds=1", "", "ok n=0 payload=- fds=-"}
		if want != "" && !slices.Equal(got, is) {
			t.Errorf("%s: got %q, want %q", name, got, is)
		}
	}
	if fixed.Steps[0].Command.Fields["payload"] != "00" {
		t.Error("the scenario itself has changed")
	}
}
