package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// If a failure expected on some releases of Linux does not occur, the line is named. With --strict-kernel, the run
// fails. The line is removed only after a strict run.
func TestStrictKernel(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	const pattern, reason = "basics/pass-one-fd leak@runner>=0.0", "it was so once"
	const old = "basics/pass-one-fd leak@runner<0.1"
	expected := write(t, pattern+" "+reason+"\n"+old+" it is another kernel\n")
	here, other := expected+":1: "+pattern, expected+":2: "+old
	run := func(name string, args ...string) (r result, file string) {
		t.Helper()
		file = filepath.Join(folder, name+".json")
		flags := []string{"interop", "run", "--json", "--catalogue", dir, "--builtin=false", "--expect", expected, "--report", file}
		return command(t, append(flags, args...)...), file
	}

	r, file := run("plain")
	all, cases := readJSON(t, r)
	c := cases["basics/pass-one-fd/stream/runner/runner"]
	if r.code != 0 || c.Verdict != scenario.Pass || c.Why != scenario.KernelPassesWhy+": "+here || all.StrictKernel {
		t.Errorf("got %v, want exit status 0, and a pass because of this kernel", r)
	}
	if len(all.KernelPasses) != 1 || all.KernelPasses[0] != here || len(all.Aside) != 1 || all.Aside[0] != other {
		t.Errorf("got %q, and ignored %q", all.KernelPasses, all.Aside)
	}
	summary := command(t, "interop", "summary", file)
	if want := "does not fail them (a vendor may have backported the change): 1, for example `" + here + "`.\n"; !strings.Contains(summary.stdout, want) {
		t.Errorf("got %+v, want %q", summary, want)
	}
	kept := "= " + pattern + " " + reason + ": did not occur on this kernel; kept, because a vendor may have backported the change\n"
	before := contents(t, expected)
	for _, args := range [][]string{{}, {"--update"}} {
		r := command(t, append([]string{"interop", "expect", file, "--catalogue", dir, "--expect", expected}, args...)...)
		check(t, fmt.Sprintf("expect %q", args), r, result{0, kept, "…"})
		if now := contents(t, expected); now != before {
			t.Errorf("%q: got the file %s, want %s", args, now, before)
		}
	}

	r, strict := run("strict", "--strict-kernel")
	all, cases = readJSON(t, r)
	c = cases["basics/pass-one-fd/stream/runner/runner"]
	if r.code != 1 || c.Verdict != scenario.UnexpectedPass || len(c.Gone) != 1 || c.Gone[0] != here || len(all.KernelPasses) != 0 || !all.StrictKernel {
		t.Errorf("with --strict-kernel: got %v, want exit status 1, and an unexpected pass", r)
	}
	const replay = "scm interop replay --catalogue "
	summary = command(t, "interop", "summary", strict, "--catalogue", dir)
	if want := replay + dir + " --strict-kernel " + strict + "#basics/pass-one-fd/stream/runner/runner\n"; !strings.Contains(summary.stdout, want) {
		t.Errorf("got %+v, want %q", summary, want)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{{nil, 0, "was unexpected pass, is now pass\n  " + scenario.KernelPassesWhy}, {[]string{"--strict-kernel"}, 1, "was unexpected pass, is now unexpected pass\n"}} {
		args := append([]string{"interop", "replay", strict + "#1", "--catalogue", dir, "--expect", expected}, test.args...)
		runs(t, result{test.code, "…" + test.want + "…", "…"}, args...)
	}
	r = command(t, "interop", "expect", strict, "--catalogue", dir, "--expect", expected, "--update")
	check(t, "expect --update", r, result{0, "- " + pattern + " " + reason + "\n", "…"})
	if want := strings.Replace(before, pattern+" "+reason+"\n", "", 1); contents(t, expected) != want {
		t.Errorf("got the file %s, want %s", contents(t, expected), want)
	}
}
