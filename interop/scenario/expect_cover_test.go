package scenario

import (
	"strings"
	"testing"
)

func TestCover(t *testing.T) {
	for _, c := range []struct{ name, must, never, want string }{
		{"everything", "g/{a,b}/stream/{x/x,x/y,y/x}", "", "**"},
		{"one role", "g/{a,b}/stream/{x,y}/x", "g/{a,b}/stream/x/y", "**:receives"},
		{"one role and one type", "g/{a,b}/dgram/{x,y}/x", "g/{a,b}/stream/{x,y}/x", "**/dgram"},
		{"one role of one type", "g/{a,b}/dgram/{x,y}/x", "g/{a,b}/stream/{x,y}/x g/a/dgram/x/y", "**/dgram:receives"},
		{"both roles of one scenario", "g/a/stream/{x/y,y/x}", "g/b/stream/{x/y,y/x}", "g/a"},
		{"one type of one scenario", "g/a/dgram/{x/y,y/x}", "g/a/stream/{x/y,y/x}", "**/dgram"},
		{"one role in each scenario", "g/a/stream/x/y g/b/stream/y/x", "g/a/stream/y/x g/b/stream/x/y", "g/a:sends g/b:receives"},
		{"two of three types", "g/a/{dgram,stream}/y/x", "g/a/seqpacket/y/x g/b/{dgram,stream,seqpacket}/y/x", "g/a/dgram:receives g/a/stream:receives"},
		{"one partner", "g/a/stream/y/x", "g/a/stream/{x,z,w}/x", "g/a:receives/y"},
		{"all partners except one", "g/a/stream/{x,y,z}/x", "g/a/stream/w/x", "g/a:receives/{x,y,z}"},
		{"some partners", "g/a/stream/x/{y,z}", "g/a/stream/x/{v,w}", "g/a:sends/{y,z}"},
		{"a peer with itself", "g/a/stream/x/x", "g/a/stream/{x,y}/y g/a/stream/y/x g/a/stream/x/z", "g/a:receives/x"},
		{"mostly as the receiver", "g/{a,b}/stream/{x,y}/x", "g/c/stream/y/x", "g/a:receives g/b:receives"},
		{"all of a group but one scenario", "g/{a,b}/stream/{x,y}/x", "g/c/stream/{x,y}/x", "g/a:receives g/b:receives"},
	} {
		var words []string
		for _, s := range cover(subject{CheckLeak, "x"}, expandAll(t, c.must), expandAll(t, c.never)) {
			words = append(words, patterns([]place{{scope: s}})[0]+seatText(s.role, s.partners))
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// expandAll returns the cases with the names in a text, in which {a,b} means both.
func expandAll(t *testing.T, text string) (cases []Case) {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		all, err := expandBraces(word)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			p := strings.Split(name, "/")
			cases = append(cases, Case{&Scenario{Name: p[0] + "/" + p[1]}, p[2], &Peer{Name: p[3]}, &Peer{Name: p[4]}})
		}
	}
	return cases
}

// The kernel has both roles in its scenarios.
func TestCoverKernel(t *testing.T) {
	got := cover(subject{CheckLeak, KernelName}, expandAll(t, "g/a/stream/kernel/kernel"), expandAll(t, "g/b/stream/kernel/kernel g/a/dgram/kernel/kernel"))
	if want := (scope{"g/a", tail{typ: "stream"}}); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// If the peer fails only with itself, the check decides in which role.
func TestCoverCheck(t *testing.T) {
	s := mustParse(t, simple) // only B receives
	x, y := &Peer{Name: "x"}, &Peer{Name: "y"}
	got := cover(subject{CheckCloexec, "x"}, []Case{{s, "stream", x, x}}, []Case{{s, "stream", y, x}})
	if want := (scope{s.Name, tail{role: RoleB, partners: "x"}}); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
