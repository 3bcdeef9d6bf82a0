package display

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestDisplay(t *testing.T) {
	for _, c := range []struct{ in, readable, line, block string }{
		{"", "", "", "  "},
		{"plain", "plain", "plain", "  plain"},
		{"é \u2026", "é …", "é …", "  é …"},
		{"a\tb", "a\tb", `a\tb`, "  a\tb"},
		{"a\n::error::b\n\nc", "a\n::error::b\n\nc", `a\n::error::b\n\nc`, "  a\n  | ::error::b\n  | \n  | c"},
		{"\x1b[2J\r\x00\x7f", `\x1b[2J\r\x00\x7f`, `\x1b[2J\r\x00\x7f`, `  \x1b[2J\r\x00\x7f`},
		{"\u009b1m\u202e\u2028", `\u009b1m\u202e\u2028`, `\u009b1m\u202e\u2028`, `  \u009b1m\u202e\u2028`},
		{"a ##[b]##vso[c]", `a #\x23[b]#\x23vso[c]`, `a #\x23[b]#\x23vso[c]`, `  a #\x23[b]#\x23vso[c]`},
		{"###[b\n##VSO[c", "##\\x23[b\n#\\x23VSO[c", `##\x23[b\n#\x23VSO[c`, "  ##\\x23[b\n  | #\\x23VSO[c"},
		{"a ##teamcity[b", `a #\x23teamcity[b`, `a #\x23teamcity[b`, `  a #\x23teamcity[b`},
		{"## a #[b] ##vs[", "## a #[b] ##vs[", "## a #[b] ##vs[", "  ## a #[b] ##vs["},
		{"\xff\xc3", `\xff\xc3`, `\xff\xc3`, `  \xff\xc3`},
	} {
		if got := Readable(c.in); got != c.readable {
			t.Errorf("Readable(%q) = %q, want %q", c.in, got, c.readable)
		}
		if got := Line(c.in); got != c.line {
			t.Errorf("Line(%q) = %q, want %q", c.in, got, c.line)
		}
		if got := Readable(c.readable); got != c.readable {
			t.Errorf("Readable(%q) = %q", c.readable, got)
		}
		if got := Block("  ", c.in); got != c.block {
			t.Errorf("Block(%q) = %q, want %q", c.in, got, c.block)
		}
	}
}

func TestIsName(t *testing.T) {
	for _, name := range []string{"x", "scm-pair-cgo", "g++", "0", "a_b.c", strings.Repeat("a", 64)} {
		if !IsName(name) {
			t.Errorf("IsName(%q) is false", name)
		}
	}
	for _, name := range []string{"", "-x", "#x", "[x]", "a b", "a\nb", "a/b", "a*", "a{b}", "a@b", "a,b", "a=b", "a<8", "é", "a\x1b", "a\n", strings.Repeat("a", 65)} {
		if IsName(name) {
			t.Errorf("IsName(%q) is true", name)
		}
	}
}

func TestJSON(t *testing.T) {
	const in = "a\u009b31m\u009d\x7f\u202e\u00e9\U0001f600\"\n##[##vso[##teamcity["
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	got := JSON(text)
	if want := `"a\u009b31m\u009d\u007f\u202e\u00e9\ud83d\ude00\"\n#\u0023[#\u0023vso[#\u0023teamcity["`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back string
	if err := json.Unmarshal(got, &back); err != nil || back != in {
		t.Errorf("read back as %q, %v", back, err)
	}
}

// In a shell, Pattern selects one test, whatever its name.
func TestPattern(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(runtime.GOOS+":", err)
	}
	for _, name := range []string{"Bob's library", "$(a) [b]|c.d/\\", "d"} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv("SCM_TEST_AGAIN") != "" {
				return
			}
			cmd := exec.Command("sh", "-c", os.Args[0]+" -test.v -test.run '"+Pattern(t.Name())+"'")
			cmd.Env = append(os.Environ(), "SCM_TEST_AGAIN=1")
			out, err := cmd.CombinedOutput()
			ran, passed := strings.Count(string(out), "=== RUN "), strings.Contains(string(out), "PASS: "+t.Name()+" ")
			if err != nil || ran != 2 || !passed {
				t.Errorf("%v, and %s did not run alone:\n%s", err, t.Name(), out)
			}
		})
	}
}
