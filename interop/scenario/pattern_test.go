package scenario

import (
	"fmt"
	"regexp"
	"slices"
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
		{"truncation/ctrunc-null-control", true},
		{"trunc", false},
		{"ctrunc-null-control", false},
		{"*", true},
		{"*/*", true},
		{"*/*/*/*/*", true},
		{"*/*/*/*/*/*", false},
		{"truncation/*/*/nix", true},
		{"truncation/*/nix", false},
		{"trunc*/ctrunc-*/s*m/n?x/run[a-n]er", true},
		{"trunc*/ctrunc-*/s*m/n?x/run[^a-n]er", false},
		{"**", true},
		{"**/nix/**", true},
		{"**/nix", false}, // with ** the whole name is meant
		{"**/runner", true},
		{"**/stream/**/runner", true},
		{"truncation/**/nix/runner", true},
		{"truncation/**/truncation/**", false},
		{"truncation/**/**/runner", true},
		{"truncation/**/**/none", false},
		{strings.Repeat("**/", 1000) + "runner", true},
		{strings.Repeat("**/", 1000) + "none", false},
		{strings.Repeat("**/*/", 100) + "none", false},
		{name + "/**", true},
		{"{basics,truncation}", true},
		{"{basics,ordering}", false},
		{"{basics/pass-one-fd,truncation/*}/stream", true},
		{"**/{nix,rustix}/{runner,csrc}", true},
		{"{t,b}runcation/ctrunc-{null,two}-{control,of-three}", true},
		{"truncation/!ctrunc-two-of-three", true},
		{"truncation/!ctrunc-null-control", false},
		{"!basics/**/!runner", false},
		{"!basics/**/!nix", true},
		{"truncation/ctrunc!null-control", false}, // a ! in the middle is only itself
		{"", false},
	} {
		p, err := ParsePattern(c.pattern)
		if c.pattern == "" {
			if err == nil {
				t.Error("the empty pattern is taken")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		} else if p.Match(name) != c.want {
			t.Errorf("%s: %v for %s", c.pattern, !c.want, name)
		} else if p.String() != c.pattern {
			t.Errorf("%s says that it is %s", c.pattern, p)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	const beside = "! beside { } would match anything: what is not the one is the other"
	for _, c := range []struct{ pattern, want string }{
		{"", "an empty part"},
		{"/a", "an empty part"},
		{"a/", "an empty part"},
		{"a//b", "an empty part"},
		{"a/!/b", "an empty part"},
		{"{a,}/b", "an empty part"},
		{"a/[b", "syntax error in pattern"},
		{"a/{b,[c}", "syntax error in pattern"},
		{`a\`, "syntax error in pattern"},
		{"{a,b", "no } after {"},
		{"a,b}", "no { before }"},
		{"{a,{b,c}}", "no { before }"},
		{"!{a,b}", beside},
		{"a/!{b,c}", beside},
		{"{!a,b}/c", beside},
		{"{a,!b}", beside},
		{"{a/!b,c}", beside},
		{strings.Repeat("{a,b}", 10), "it stands for more than 1000"},
		{strings.Repeat("{a,b}", 100), "it stands for more than 1000"},
	} {
		_, err := ParsePattern(c.pattern)
		if want := fmt.Sprintf("pattern %q: %s", c.pattern, c.want); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// inOtherWords is the pattern as a regular expression, for patterns without [ ] \.
func inOtherWords(pattern string) *regexp.Regexp {
	var alts []string
	expanded, _ := expandBraces(pattern)
	for _, alt := range expanded {
		if !slices.Contains(strings.Split(alt, "/"), "**") {
			alt += "/**"
		}
		re := ""
		for _, part := range strings.Split(alt, "/") {
			if part == "**" {
				re += "(?:/[^/]*)*"
				continue
			}
			re += "/"
			for _, c := range part {
				switch c {
				case '*':
					re += "[^/]*"
				case '?':
					re += "[^/]"
				default:
					re += regexp.QuoteMeta(string(c))
				}
			}
		}
		alts = append(alts, "(?:"+re+")")
	}
	return regexp.MustCompile("^(?s:" + strings.Join(alts, "|") + ")$")
}

// A pattern matches what a regular expression made of it matches; every name
// without a special character is a pattern for itself and what begins with it.
func FuzzParsePattern(f *testing.F) {
	for _, pattern := range []string{"a", "a/*/c", "**/c", "{a,b}/**", "!a/?", "a*b/**/c", "[a-c]", "a/{b,c}/d", "{a,b}{c,d}", "a**"} {
		f.Add(pattern, "a/b/c")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 200 || len(name) > 200 { // a line's length: what costs is the regular expression
			return
		}
		p, err := ParsePattern(pattern)
		if err != nil {
			if p.Match(name) {
				t.Fatalf("%q is wrong (%v) and matches %q", pattern, err, name)
			}
			return
		}
		// As many parts as the name of a case has, at most.
		if strings.Count(pattern, "/") > 5 || strings.Count(name, "/") > 5 || name == "" {
			return
		}
		if !strings.ContainsAny(pattern, "*?[]{}!\\") {
			for _, n := range []string{pattern, pattern + "/x", pattern + "/x/y"} {
				if !p.Match(n) {
					t.Fatalf("%q does not match %q", pattern, n)
				}
			}
			if p.Match(pattern + "x") {
				t.Fatalf("%q matches %[1]qx", pattern)
			}
		}
		if strings.ContainsAny(pattern, "[]\\!\ufffd") || strings.ContainsAny(name, "\ufffd") {
			return
		}
		if want := inOtherWords(pattern).MatchString("/" + name); p.Match(name) != want {
			t.Fatalf("%q: %v for %q", pattern, !want, name)
		}
	})
}
