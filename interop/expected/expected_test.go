package expected

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var form = Form{First: "SCENARIO", Name: "PEER", Checks: []string{"answer", "cloexec", "leak"}, Roles: true}

func parse(t *testing.T, text string) []Line {
	t.Helper()
	list, err := Parse("file", []byte(text), form)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParse(t *testing.T) {
	var got []string
	for _, l := range parse(t, "\ufeff# A comment.\r\n[ab]/** cloexec@book<8.4:receives UNP §15.7 passes flags 0\r\n"+
		"  truncation/{a,b}/stream {answer,leak}@x:sends flaky: a link\n** leak@runner>=6.2<6.7 why") {
		got = append(got, fmt.Sprintf("%s: %s, %v %v", l, l.Reason, l.Flaky(), l.Noted()))
	}
	want := []string{
		"file:2: [ab]/** cloexec@book<8.4:receives: UNP §15.7 passes flags 0, false false",
		"file:3: truncation/{a,b}/stream answer@x:sends: flaky: a link, true false",
		"file:3: truncation/{a,b}/stream leak@x:sends: flaky: a link, true false",
		"file:4: ** leak@runner>=6.2<6.7: why, false true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An error names the line, and says how to write it.
func TestParseErrors(t *testing.T) {
	const checks = ` is not CHECK@PEER, optionally followed by <VERSION, >=VERSION or both, then :sends or :receives; checks are [answer cloexec leak]`
	const releases = "a release of Linux has exactly two numbers, as in kernel<5.15, kernel>=6.16 or kernel>=6.2<6.7"
	for text, want := range map[string]string{
		"\n** leak@book":           "2: a line is SCENARIO CHECK@PEER REASON, and the reason is required",
		"a//b leak@x why":          `1: pattern "a//b": an empty part`,
		"** mood@x why":            `1: "mood@x"` + checks,
		"** {leak,mood}@x w":       `1: "mood@x"` + checks,
		"** {leak,answer@x w":      `1: "{leak,answer@x": no } after {`,
		"** leak@x<8.4.b why":      `1: "leak@x<8.4.b"` + checks,
		"** leak@x:sends<8 w":      `1: "leak@x:sends<8"` + checks,
		"** leak@x >=8 w":          `1: "leak@x >=8"` + checks,
		"** leak@x :sends w":       `1: "leak@x :sends"` + checks,
		"** leak@x flaky:":         `1: the reason after "flaky:" is missing`,
		"** leak@x>=8.4<8.4 why":   "1: leak@x>=8.4<8.4: no version is in this range; the first bound must be lower, as in >=6.2<6.7",
		"** leak@kernel<6 why":     "1: leak@kernel<6: " + releases,
		"** leak@kernel<6.1.2 why": "1: leak@kernel<6.1.2: " + releases,
		"# a\r\n# b\r** leak@x":    "2: a carriage return is within the line: end each line with a newline",
	} {
		if list, err := Parse("file", []byte(text), form); err == nil || err.Error() != "file:"+want {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
}

// A bound of the kernel is a release of Linux, also if it has been patched. gVisor has no release.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		versions, version string
		in                bool
	}{
		{"<8.4", "8.2.31", true}, {"<8.4", "8.4.0", false}, {"<8.4", "8.10", false}, {"<8.4.0", "8.4", false},
		{">=8.4", "8.4", true}, {">=8.4", "8.3.99", false}, {">=8.1<8.4", "8.2-dev", true}, {">=8.1<8.4", "8.0", false},
		{">=8.1<8.4", "9", false}, {">=0", "", false}, {"<99", "unknown", false}, {"", "", true},
		{"<5.15", System{Linux, "5.10.0-32-cloud-amd64"}.Version(Kernel, "1"), true}, {"<5.15", System{Linux, "5.15-rc1"}.Version(Runner, "1"), false},
		{"<6.1", System{"", "6.1.176"}.Version(Kernel, "1"), false}, {"<5.15", System{GVisor, "4.4.0"}.Version(Runner, "1"), false},
		{"<2", System{GVisor, "4.4.0"}.Version("x", "1"), true},
	} {
		if in := InVersions(c.versions, c.version); in != c.in {
			t.Errorf("%q is in %q: %v", c.version, c.versions, in)
		}
	}
}

var seats = []Seat{
	{Start: Start{"group", "id", "stream"}, Role: Sends, NoCloexec: true}, {Start: Start{"group", "id", "stream"}, Role: Receives},
	{Start: Start{"group", "of", "kernel"}, Role: Sends, Peer: Kernel}, {Start: Start{"group", "one", "dgram"}, Role: Sends},
	{Start: Start{"group", "one", "dgram"}, Role: Receives, Peer: Runner},
}

func TestValidate(t *testing.T) {
	peers := []string{"one", "two", Runner, Kernel}
	for text, want := range map[string]string{
		"** leak@tow why":                  `: no peer is named "tow"; did you mean "two"?`,
		"group/id leak@kernel why":         ": the pattern selects no case of kernel",
		"group/of leak@one why":            ": the pattern selects no case of one",
		"gruop leak@one<1 why":             `: no group matches "gruop"; did you mean "group"?`,
		"group/id/strem leak@kernel<2.0 w": `: no type of socket matches "strem"; did you mean "stream"?`,
		"group/one leak@one:receives why":  ": the pattern selects cases of one, but none in which it receives",
		"group/id cloexec@one:sends why":   ": it selects cases of one, but none in which it receives a descriptor",
		"group/{id,ic} leak@one why":       `: no scenario matches "ic"; did you mean "id"?`,
	} {
		l := parse(t, text)
		head := l[0].String() + " applies to no case"
		if strings.Contains(text, "{") {
			head = l[0].String() + `: the alternative "ic" applies to no case`
		}
		if err := Validate(l, seats, peers); len(err) != 1 || err[0].Error() != head+want {
			t.Errorf("got %v, want %s%s", err, head, want)
		}
	}
	if err := Validate(parse(t, "** {leak,cloexec}@{one,gone}>=8 w\ngroup/{id,one} leak@runner:receives w\n** leak@kernel<1.2 w"), seats, nil); err != nil {
		t.Error(err)
	}
}

// Prune removes what Validate rejects, and nothing else.
func TestPrune(t *testing.T) {
	peers := []string{"one", "two", Runner, Kernel}
	for old, want := range map[string]string{
		"# a\n** leak@tow w\n\n** leak@one  w\n":                            "# a\n\n** leak@one  w\n",
		"group/{id,ic} leak@one why":                                        "group/id leak@one why\n",
		"group/{ic,id,one}/* {leak,cloexec}@{one,tow}<2:sends flaky: w\r\n": "group/{id,one}/* leak@one<2:sends flaky: w\r\ngroup/one/* cloexec@one<2:sends flaky: w\r\n",
		"group/{id,one} {leak,cloexec}@one:receives w\n":                    "group/id leak@one:receives w\ngroup/id cloexec@one:receives w\n",
		"\ufeffgroup/o{f,ne,ld} leak@kernel<5.1 w\n":                        "\ufeffgroup/of leak@kernel<5.1 w\n",
		"{group,gone}/i{d,}/{stream,dgram} leak@one w":                      "group/id/stream leak@one w\n",
		"{gone,lost}/id leak@one w\n":                                       "",
	} {
		u := Prune([]byte(old), parse(t, old), seats, peers)
		if string(u.Text) != want || len(u.Removed) == 0 {
			t.Errorf("%q: got %q, want %q", old, u.Text, want)
		}
		if err := Validate(parse(t, string(u.Text)), seats, peers); err != nil {
			t.Errorf("%q: the new list has %v", old, err)
		}
	}
}

func TestValidateReasons(t *testing.T) {
	const text = "** leak@one why? it is so\n** {leak,answer}@one ? it leaks\n** leak@two flaky:? why\n"
	const want = "file:2: unfinished reason: ? it leaks\nfile:3: unfinished reason: flaky:? why\ncomplete the reasons of these lines, and remove the \"?\""
	if err := ValidateReasons(parse(t, text)); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// shown has a word CASE=CHECK@PEER for each failure, and CASE for a pass of every peer. CASE is ID/TYPE/A/B, and a
// flaky one begins with "~".
func shown(text string) (list []Shown) {
	for _, word := range strings.Fields(text) {
		name, keys, _ := strings.Cut(word, "=")
		name, flaky := strings.CutPrefix(name, "~")
		part := strings.Split(name, "/")
		seat := map[string][]Seat{}
		for i, role := range []string{Sends, Receives} {
			seat[part[2+i]] = append(seat[part[2+i]], Seat{Start: Start{"g", part[0], part[1]}, Role: role, Peer: part[2+i], Version: "6.1"})
		}
		for peer, s := range seat {
			for _, check := range form.Checks {
				list = append(list, Shown{Seats: s, Check: check, Case: "g/" + name, Flaky: flaky,
					Failed: slices.Contains(strings.Split(keys, ","), check+"@"+peer), Text: "it\nfails " + name})
			}
		}
	}
	return list
}

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ name, old, shown, want, noted string }{
		{"nothing changes", "# a\r\n\r\ng/i leak@x why", "i/dgram/x/y=leak@x i/dgram/y/y", "# a\r\n\r\ng/i leak@x why", ""},
		{"comments stay, and new lines are sorted", "# a\ng/i leak@x why\n\n# b\ng/j leak@y b", "i/dgram/x/z j/dgram/y/x=leak@y,leak@x i/dgram/y/y=answer@y",
			"# a\n\n# b\ng/j leak@y b\ng/i answer@y ? it fails i/dgram/y/y\ng/j leak@x:receives ? it fails j/dgram/y/x\n", ""},
		{"the first line has a byte order mark", "\ufeffg/i leak@x why\r\ng/j leak@x why\r\n", "i/dgram/x/y j/dgram/x/y=leak@x", "\ufeffg/j leak@x why\r\n", ""},
		{"the failure still occurs in some cases", "** leak@x<7 why", "i/dgram/x/y=leak@x j/dgram/x/y", "g/i leak@x<7:sends why\n", ""},
		{"one of two checks still fails", "g/i {leak,answer}@x why", "i/dgram/y/x=leak@x", "g/i leak@x:receives why\n", ""},
		{"with some partners", "", "i/dgram/x/y=leak@x i/dgram/x/z i/stream/x/y=leak@x", "g/i/dgram leak@x:sends flaky: ? it fails i/dgram/x/y\ng/i/stream leak@x:sends ? it fails i/stream/x/y\n", ""},
		{"a case with itself has no role", "", "i/dgram/x/x=leak@x i/dgram/x/y=leak@x i/dgram/y/x", "g/i leak@x:sends ? it fails i/dgram/x/y\n", ""},
		{"only with itself", "", "i/dgram/x/x=leak@x i/dgram/x/y", "g/i/dgram leak@x flaky: ? it fails i/dgram/x/x\n", ""},
		{"every receive fails cloexec", "", "i/dgram/x/y=cloexec@y j/dgram/x/y=cloexec@y", "** cloexec@y ? it fails i/dgram/x/y\n", ""},
		{"some receives fail cloexec", "", "i/dgram/x/y=cloexec@y j/dgram/x/y", "g/i cloexec@y:receives ? it fails i/dgram/x/y\n", ""},
		{"of some releases", "** leak@runner<6.7 why", "i/dgram/x/runner", "** leak@runner<6.7 why", "** leak@runner<6.7 why"},
		{"of other releases", "** leak@runner<6.1 why", "i/dgram/x/runner=leak@runner", "** leak@runner<6.1 why\ng/i leak@runner:receives ? it fails i/dgram/x/runner\n", ""},
		{"the case or the line is flaky", "g/i leak@x a\ng/j leak@x flaky: b\n", "~i/dgram/x/y j/dgram/x/y ~k/dgram/x/y=leak@x",
			"g/i leak@x a\ng/j leak@x flaky: b\ng/k/dgram leak@x:sends flaky: ? it fails k/dgram/x/y\n", ""},
		{"a flaky line is an exception to another one", "** leak@x a\ng/i leak@x flaky: b\n", "i/dgram/x/y j/dgram/x/y=leak@x",
			"** leak@x a\ng/i leak@x flaky: b\n", ""},
		{"the exception is in another list", "** leak@given a\n", "i/dgram/x/given=leak@given j/dgram/x/given", "** leak@given a\n", ""},
		{"another list has the line", "", "i/dgram/x/given=leak@given", "", ""},
		{"the run has no case of it", "g/i leak@kernel why", "i/dgram/x/y", "g/i leak@kernel why", ""},
	} {
		given, err := Parse("given", []byte("g/i leak@given why\ng/j leak@given flaky: why"), form)
		u := Rewrite([]byte(c.old), parse(t, c.old), given, false, shown(c.shown))
		noted := ""
		for _, l := range u.Noted {
			noted += l.Text()
		}
		if string(u.Text) != c.want || noted != c.noted || err != nil {
			t.Errorf("%s: got %q, noted %q, want %q", c.name, u.Text, noted, c.want)
		}
	}
	const old = "** leak@runner<6.7 why\n"
	if u := Rewrite([]byte(old), parse(t, old), nil, true, shown("i/dgram/x/runner")); len(u.Text) > 0 || len(u.Removed) != 1 {
		t.Errorf("a strict run: %q", u.Text)
	}
}
