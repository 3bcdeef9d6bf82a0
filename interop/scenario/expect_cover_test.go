package scenario

import (
	"cmp"
	"strings"
	"testing"
)

func TestCover(t *testing.T) {
	for _, c := range []struct{ name, must, never, want string }{
		{"everything", "g/{a,b}/stream/{x,y}/{x,y}", "", "** **"},
		{"one role", "g/{a,b}/stream/{x,y}/x", "g/{a,b}/stream/x/y", "** **/x"},
		{"one role and one type", "g/{a,b}/dgram/{x,y}/x", "g/{a,b}/stream/{x,y}/x", "** dgram/**/x"},
		{"both roles of one scenario", "g/a/stream/{x/y,y/x}", "g/b/stream/{x/y,y/x}", "g/a **"},
		{"one type of one scenario", "g/a/dgram/{x/y,y/x}", "g/a/stream/{x/y,y/x}", "** dgram/**"},
		{"one role in each scenario", "g/a/stream/x/y g/b/stream/y/x", "g/a/stream/y/x g/b/stream/x/y", "g/b **/x g/a **/x/*"},
		{"two of three types", "g/a/{dgram,stream}/y/x", "g/a/seqpacket/y/x g/b/{dgram,stream,seqpacket}/y/x", "g/a {dgram,stream}/**/x"},
		{"one partner", "g/a/stream/y/x", "g/a/stream/{x,z,w}/x", "g/a **/y/x"},
		{"all partners except one", "g/a/stream/{x,y,z}/x", "g/a/stream/w/x", "g/a **/!w/x"},
		{"some partners", "g/a/stream/x/{y,z}", "g/a/stream/x/{v,w}", "g/a **/x/{y,z}"},
		{"a peer with itself", "g/a/stream/x/x", "g/a/stream/{x,y}/y g/a/stream/y/x g/a/stream/x/z", "g/a **/x/x"},
		{"mostly as the receiver", "g/{a,b}/stream/{x,y}/x", "g/c/stream/y/x", "g/a **/x g/b **/x"},
		{"scenarios with one tail in common", "g/a/stream/{x,y}/x g/b/stream/y/x", "g/a/stream/x/y g/c/stream/{x,y}/x", "g/a **/x g/b **/x"},
	} {
		var words []string
		scopes, err := cover("x", expandAll(t, c.must), expandAll(t, c.never))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scopes {
			words = append(words, cmp.Or(s.scenario, "**"), s.tail)
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A scope of a whole group selects no case in never.
func TestCoverByGroup(t *testing.T) {
	for _, c := range []struct{ name, must, never, want string }{
		{"one group", "g/{a,b}/stream/{x,y}/{x,y}", "h/a/stream/{x,y}/{x,y}", "g/* **"},
		{"one role of one group", "g/{a,b}/stream/{x,y}/x", "{g,h}/{a,b}/stream/x/y h/a/stream/{x,y}/x", "g/* **/x"},
		{"two roles", "g/{a,b}/dgram/{x,y}/x g/{a,b}/stream/x/y", "g/{a,b}/dgram/x/y g/{a,b}/stream/y/x h/a/{dgram,stream}/{x,y}/{x,y}", "g/* dgram/**/x g/* stream/**/x/*"},
		{"all of a group but one scenario", "g/{a,b}/stream/{x,y}/x", "g/c/stream/{x,y}/x", "g/a **/x g/b **/x"},
		{"a group of one scenario", "g/a/stream/{x,y}/x", "h/a/stream/{x,y}/x", "g/a **/x"},
	} {
		var words []string
		scopes, err := coverWith("x", expandAll(t, c.must), expandAll(t, c.never), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scopes {
			words = append(words, cmp.Or(s.scenario, "**"), s.tail)
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// expandAll returns the names in a text, in which {a,b} means both.
func expandAll(t *testing.T, text string) (names []string) {
	t.Helper()
	for word := range strings.FieldsSeq(text) {
		all, err := expandBraces(word)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, all...)
	}
	return names
}
