package expected

import (
	"reflect"
	"strings"
	"testing"
)

// What Parse accepts, it accepts again, line by line and after an update. A second update changes nothing.
func FuzzParse(f *testing.F) {
	f.Add("\ufeff# A comment.\r\n[ab]/** cloexec@book<8.4:receives UNP §15.7 passes flags 0\r\n\n** leak@x>=6.2<6.7 why")
	f.Add("g/{i,j}/stream {answer,leak}@x:sends flaky: ? a link\n!h*/?/dgram cloexec@y<8.10 why")
	f.Add("g/i leak@x why\ng/j leak@x flaky: why\n** answer@y gone\n")
	cases := shown("i/dgram/x/y=leak@x,cloexec@y ~j/dgram/x/y=answer@x i/stream/y/x k/dgram/x/x=leak@x")
	peers := []string{"x", "y", Runner, Kernel}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse("file", []byte(text), form)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "file:") {
				t.Errorf("the error does not name the line: %v", err)
			}
			return
		}
		for _, l := range list {
			again, err := Parse(l.File, []byte(l.Text()), form)
			if err != nil || len(again) != 1 || again[0].Text() != l.Text() || !reflect.DeepEqual(again[0].Pattern, l.Pattern) {
				t.Errorf("%q: got %v, %v", l.Text(), again, err)
			}
		}
		pruned := Prune([]byte(text), list, seats, peers)
		left, err := Parse("file", pruned.Text, form)
		if unmatched := Validate(left, seats, peers); err != nil || unmatched != nil {
			t.Errorf("%q: without what applies to no case, it is %q: %v, %v", text, pruned.Text, err, unmatched)
		}
		if u := Rewrite([]byte(text), list, nil, true, nil); string(u.Text) != text {
			t.Errorf("%q: without cases, an update writes %q", text, u.Text)
		}
		once := Rewrite([]byte(text), list, nil, true, cases)
		list, err = Parse("file", once.Text, form)
		if err != nil {
			t.Fatalf("%q: an update writes %q: %v", text, once.Text, err)
		}
		if twice := Rewrite(once.Text, list, nil, true, cases); string(twice.Text) != string(once.Text) {
			t.Errorf("%q: an update writes %q, and a second one %q", text, once.Text, twice.Text)
		}
	})
}
