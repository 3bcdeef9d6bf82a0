package expected

import (
	"fmt"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	const name = "truncation/ctrunc-null-control/stream/nix/runner"
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{name, true},
		{"truncation", true},
		{"ctrunc-null-control", false},
		{"*", true},
		{"*/*/*/*/*/*", false},
		{"truncation/*/*/nix", true},
		{"trunc*/ctrunc-*/s*m/n?x/run[a-n]er", true},
		{"trunc*/ctrunc-*/s*m/n?x/run[^a-n]er", false},
		{"**/nix/**", true},
		{"**/nix", false}, // a pattern with ** must match the whole name
		{"**/stream/**/runner", true},
		{"truncation/**/truncation/**", false},
		{"{basics/pass-one-fd,truncation/*}/stream", true},
		{"**/{nix,rustix}/{runner,csrc}", true},
		{"{t,b}runcation/ctrunc-{null,two}-{control,of-three}", true},
		{"truncation/!ctrunc-two-of-three", true},
		{"truncation/!ctrunc-null-control", false},
		{"!basics/**/!runner", false},
		{"!basics/**/!nix", true},
		{"truncation/ctrunc!null-control", false}, // a ! in the middle of a part has no special meaning
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if p.Match(name) != c.want {
			t.Errorf("%s: %v for %s", c.pattern, !c.want, name)
		} else if p.String() != c.pattern {
			t.Errorf("String of %s is %s", c.pattern, p)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	const beside = "! cannot be combined with { }: the alternatives together would match anything"
	for _, c := range []struct{ pattern, want string }{
		{"", "an empty part"},
		{"a//b", "an empty part"},
		{"{a,}/b", "an empty part"},
		{"a/[b", "syntax error in pattern"},
		{`a\`, "syntax error in pattern"},
		{"{a,b", "no } after {"},
		{"{a,{b,c}}", "no { before }"},
		{"!{a,b}", beside},
		{"{!a,b}/c", beside},
		{"{a/!b,c}", beside},
		{strings.Repeat("{a,b}", 10), "more than 1000 alternatives"},
		{strings.Repeat("{a,b}", 1000), "more than 1000 alternatives"},
		{"{" + strings.Repeat("a,", 1000) + "a}", "more than 1000 alternatives"},
		{strings.Repeat("{a,b}", 1000) + "{", "more than 1000 alternatives"},
	} {
		_, err := ParsePattern(c.pattern)
		if want := fmt.Sprintf("pattern %q: %s", c.pattern, c.want); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A mismatch is also explained for patterns with many alternatives or long parts.
func TestMismatchOfLongPatterns(t *testing.T) {
	var starts []Start
	for i := range 1000 {
		starts = append(starts, Start{fmt.Sprint(strings.Repeat("group", 20), i), "id", "stream"})
	}
	for _, text := range []string{
		strings.Repeat("{g,r}", 9) + strings.Repeat("group", 18),
		strings.Repeat("group", 10_000),
	} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if why := p.Mismatch(starts, nil); !strings.HasPrefix(why, "no group matches ") {
			t.Errorf("got %.100s", why)
		}
	}
}
