package scenario

import (
	"slices"
	"strings"
	"testing"
)

// Only the first two numbers of a release are compared, as numbers. A release heading applies only to Linux.
func TestHeadings(t *testing.T) {
	for _, c := range []struct {
		heading  string
		includes []string // kernels, as for kernelOf
		excludes []string
	}{
		{"[linux]", []string{"linux 5.10.0-32-cloud-amd64", "linux x", "linux"}, []string{"gvisor 4.4.0", "gvisor"}},
		{"[gvisor]", []string{"gvisor 4.4.0", "gvisor"}, []string{"linux 4.4.0"}},
		{"[linux<5.15]",
			[]string{"linux 5.10.0-32-cloud-amd64", "linux 5.9.1", "linux 4.19.0", "linux 5.14.99"},
			[]string{"linux 5.15.0", "linux 5.15", "linux 5.15-rc1", "linux 5.100.0", "linux 10.1.0", "linux 7.2.13+deb14", "gvisor 4.4.0"}},
		{"[linux>=6.9]",
			[]string{"linux 6.9.0", "linux 6.9-rc3", "linux 6.10.0", "linux 6.18.44-fc-v669", "linux 7.2.13+deb14", "linux 10.0"},
			[]string{"linux 6.8.99", "linux 6.1.0-37-amd64", "linux 5.15.0", "gvisor 6.10.0"}},
		{"[linux>=6.2<6.7]",
			[]string{"linux 6.2.0", "linux 6.6.103", "linux 6.5.0-45-generic"},
			[]string{"linux 6.1.176", "linux 6.7.0", "linux 6.19-rc3", "linux 6.60.1", "linux 5.15.0"}},
		// A release that does not begin with two numbers is in no range.
		{"[linux<99.0]", nil, []string{"linux", "linux 6", "linux 6-rc1", "linux v6.1.0", "linux .1", "linux 6.x", "linux unknown"}},
		{"[linux>=0.0]", []string{"linux 0.1", "linux 6.1"}, []string{"linux", "linux 6", "linux 6-rc1"}},
	} {
		e := mustExpect(t, c.heading+"\n** leak@one why")[0]
		if got := e.Heading.String(); got != c.heading || !strings.Contains(e.String(), " "+c.heading+" **") {
			t.Errorf("%s became %s, in %s", c.heading, got, e)
		}
		for _, kernel := range slices.Concat(c.includes, c.excludes) {
			if got, want := e.On(kernelOf(kernel)), slices.Contains(c.includes, kernel); got != want {
				t.Errorf("%s includes %q: %v, want %v", c.heading, kernel, got, want)
			}
		}
	}
}

// An invalid heading, or a version of the runner or the kernel, is an error that says what to write.
func TestHeadingErrors(t *testing.T) {
	const form = ": write >= and the first release, < and the release after the last one, or both, each with exactly two numbers, as in [linux<5.15], [linux>=6.16] or [linux>=6.2<6.7]"
	const gvisor = ": only releases of Linux can be told apart; write [gvisor]"
	const empty = ": no release is in this range; the first bound must be lower, as in [linux>=6.2<6.7]"
	for text, want := range map[string]string{
		"[linux<6]":         "heading [linux<6]" + form,
		"[linux<5.10.3]":    "heading [linux<5.10.3]" + form,
		"[linux>6.1]":       "heading [linux>6.1]" + form,
		"[linux<=6.1]":      "heading [linux<=6.1]" + form,
		"[linux=6.1]":       "heading [linux=6.1]" + form,
		"[linux6.1]":        "heading [linux6.1]" + form,
		"[linux<6.x]":       "heading [linux<6.x]" + form,
		"[linux<6.01]":      "heading [linux<6.01]" + form,
		"[linux<6.7>=6.2]":  "heading [linux<6.7>=6.2]" + form,
		"[linux >=6.2]":     "heading [linux >=6.2]" + form,
		"[linux>=6.2 <6.7]": "heading [linux>=6.2 <6.7]" + form,
		"[linux>=]":         "heading [linux>=]" + form,
		"[linux>=6.7<6.2]":  "heading [linux>=6.7<6.2]" + empty,
		"[linux>=6.2<6.2]":  "heading [linux>=6.2<6.2]" + empty,
		"[linux>=6.10<6.9]": "heading [linux>=6.10<6.9]" + empty,
		"[gvisor<4.5]":      "heading [gvisor<4.5]" + gvisor,
		"[gvisor 4.4]":      "heading [gvisor 4.4]" + gvisor,
		"[hurd<0.9]":        `unknown kernel "hurd<0.9"; kernels are [linux gvisor]`,
		"[linuxes]":         `unknown kernel "linuxes"; kernels are [linux gvisor]`,
		"[]":                `unknown kernel ""; kernels are [linux gvisor]`,

		"** answer@kernel<5.15 why":         "answer@kernel<5.15: kernel takes no version; for some kernels only, put the line below a heading [linux<5.15]",
		"** answer@runner<5.15 why":         "answer@runner<5.15: runner takes no version; for some kernels only, put the line below a heading [linux<5.15]",
		"** {leak,hang}@runner>=6.2<6.7 w":  "leak@runner>=6.2<6.7: runner takes no version; for some kernels only, put the line below a heading [linux>=6.2<6.7]",
		"** leak@{one,kernel}>=6 w":         "leak@kernel>=6: kernel takes no version; for some kernels only, put the line below a heading such as [linux<5.15], [linux>=6.16] or [linux>=6.2<6.7]",
		"[linux<5.15]\n** a@b c\n[linux<6]": "heading [linux<6]" + form,
	} {
		text = strings.Replace(text, "a@b c", "leak@one why", 1)
		if list, err := ParseExpectations("file", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "file:") || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
	for _, text := range []string{"** leak@one<5.15 why", "[linux<5.15]\n** answer@{runner,kernel,one} why\n[gvisor]\n** leak@one>=8 why [1]", "[ab]/** leak@one see [1]"} {
		if _, err := ParseExpectations("file", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Expect sets aside the lines for other releases, but they must apply to a case too.
func TestExpectReleases(t *testing.T) {
	const text = "[linux<5.15]\n** leak@one why\n** answer@runner why\n[linux>=5.15]\n** file@one<2 why\n[gvisor]\n** leak@two why\n[linux]\n** file@two why"
	for kernel, want := range map[string][]int{
		"linux 5.10.0-32-cloud-amd64": {2, 3, 9}, "linux 6.1.0": {5, 9}, "linux 5.15-rc1": {5, 9}, "linux": {9}, "gvisor 4.4.0": {7},
	} {
		x, err := expect(t, text, kernel, "1.2")
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, e := range x.List {
			got = append(got, e.Line)
		}
		if !slices.Equal(got, want) || len(x.List)+len(x.Aside) != 5 {
			t.Errorf("%s: lines %v apply, want %v, and %d are set aside", kernel, got, want, len(x.Aside))
		}
	}
	const bad = "[linux<5.15]\ngroup/other leak@one why"
	const want = `file:2: [linux<5.15] group/other leak@one applies to no case: no scenario matches "other"`
	for _, kernel := range []string{"linux 5.10.0", "linux 6.1.0", "gvisor 4.4.0"} {
		if _, err := expect(t, bad, kernel, ""); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", kernel, err, want)
		}
	}
	scenarios := []*Scenario{mustParse(t, simple)}
	if err := ValidateExpectations(mustExpect(t, bad), scenarios); err == nil || err.Error() != want {
		t.Errorf("ValidateExpectations: got %v, want %s", err, want)
	}
	if err := ValidateExpectations(mustExpect(t, text), scenarios); err != nil {
		t.Errorf("ValidateExpectations: %v", err)
	}
}

// An unexpected pass below a release heading is a failure only in a strict run.
func TestSetVerdictBelowReleases(t *testing.T) {
	const below = "[linux<6.7]\n** leak@two a"
	const passes = "this kernel does not fail it; a vendor may have backported the change: file:2: [linux<6.7] ** leak@two"
	const gone = "expected to fail, but does not: "
	for _, c := range []struct {
		name, expected, findings string
		strict                   bool
		want                     Verdict
		why                      string
		passes                   int
	}{
		{"it passes", below, "", false, Pass, passes, 1},
		{"it passes, in a strict run", below, "", true, UnexpectedPass, gone + "file:2: [linux<6.7] ** leak@two", 0},
		{"it fails", below, "leak@two", false, Expected, "", 0},
		{"it fails, in a strict run", below, "leak@two", true, Expected, "", 0},
		{"another check fails", below, "file@two", false, Fail, "", 1},
		{"another expected check fails", "[linux<6.7]\n** leak@two a\n[linux]\n** file@two b", "file@two", false, Expected, passes, 1},
		{"it passes below a heading without releases", "[linux]\n** leak@two a", "", false, UnexpectedPass, gone + "file:2: [linux] ** leak@two", 0},
		{"it passes below both kinds of headings", "[linux<6.7]\n** leak@two a\n[linux]\n** file@two b", "", false, UnexpectedPass, gone + "file:4: [linux] ** file@two", 1},
		{"two lines pass", "[linux<6.7]\n** leak@two a\n** file@two b", "", false, Pass, passes + "; file:3: [linux<6.7] ** file@two", 2},
		{"a flaky line passes", "[linux<6.7]\n** leak@two flaky: a", "", true, Pass, "", 0},
		{"close-on-exec was not checked", "[linux<6.7]\n** cloexec@two a", "", false, Pass, "", 0},
		{"the sender is at fault", "[linux<6.7]\n** leak@two a\n** answer@one b", "answer@one", true, Expected, "", 0},
	} {
		x := &Expectations{List: mustExpect(t, c.expected), StrictKernel: c.strict}
		r := &Result{Case: Case{mustParse(t, simple), "stream", &Peer{Name: "one"}, &Peer{Name: "two"}}, Verdict: Pass}
		for _, key := range strings.Fields(c.findings) {
			check, peer, _ := strings.Cut(key, "@")
			r.Findings = append(r.Findings, Finding{Check: Check(check), Peer: peer})
			r.Verdict = Fail
		}
		if x.SetVerdict(r); r.Verdict != c.want || r.Why != c.why || len(r.KernelPasses) != c.passes {
			t.Errorf("%s: got %s, %q, %q", c.name, r.Verdict, r.Why, r.KernelPasses)
		}
	}
}
