package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A report is held against an older one.
func TestCompareCommand(t *testing.T) {
	dir := t.TempDir()
	fake := program(t, "faulty")
	reports := map[string]string{"good": fake, "bad": fake + " --fault cloexec", "again": fake}
	for name, peer := range reports {
		reports[name] = filepath.Join(dir, name+".json")
		command(t, append([]string{"interop", "run", "--peer", "fake=" + peer, "--report", reports[name]}, one...)...)
	}
	const name = "basics/pass-one-fd/stream/fake/fake: "
	const other = "basics/pass-one-fd/stream/x/y"
	for _, c := range []struct {
		args []string
		code int
		want string // among others
	}{
		{[]string{reports["good"], reports["again"]}, 0, "12 the same, 0 worse, 0 better, 0 other, 0 new\n"},
		{[]string{"--exact", reports["good"], reports["again"]}, 0, "12 the same, "},
		{[]string{reports["good"], reports["bad"]}, 1, "worse: " + name + "pass, then fail cloexec@fake\n"},
		{[]string{reports["bad"], reports["good"]}, 0, "better: " + name + "fail cloexec@fake, then pass\n"},
		{[]string{"--exact", reports["bad"], reports["good"]}, 1, "better: "},
		{[]string{reported(t, other, "crash", "x"), reported(t, other, "leak", "x")}, 1, "worse: " + other + ": fail crash@x, then fail leak@x (leak@x is new)\n"},
	} {
		if r := command(t, append([]string{"interop", "compare"}, c.args...)...); r.code != c.code || !strings.Contains(r.stdout, c.want) || r.stderr != "" {
			t.Errorf("%v: got %+v", c.args, r)
		}
	}
	if r := command(t, "interop", "compare", reports["good"], "/nonexistent"); r.code != 2 || r.stderr != "scm: open /nonexistent: no such file or directory\n" {
		t.Errorf("got %+v", r)
	}
}
