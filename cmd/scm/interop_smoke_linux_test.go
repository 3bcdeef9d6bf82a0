package main

import (
	"strings"
	"testing"
)

func TestSmokeCommand(t *testing.T) {
	fake := program(t, "faulty")
	r := command(t, "interop", "smoke", "--peer", "fake="+fake)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "fake: well, go 1, can stream,") || !strings.Contains(r.stdout, "\nnet: well, ") {
		t.Errorf("got %+v", r)
	}
	r = command(t, "interop", "smoke", "--builtin=false", "--peer", "fake="+fake, "--peer", "bad=false",
		"--peers", write(t, `[{"name":"gone","why":"no compiler"}]`))
	if r.code != 4 || !strings.HasSuffix(r.stdout, "bad: the peer ended: exit status 1\ngone: not there: no compiler\n") || r.stderr != "scm: 2 of 3 peers are not well\n" {
		t.Errorf("got %+v", r)
	}
	r = command(t, "interop", "smoke", "--builtin=false", "--peer", "child=sh -c '"+fake+"; exit'")
	if r.code != 4 || !like(r.stdout, "child: \"end\" leaves the socket open in process …: if that is a shell, or starts the peer, it must do so by exec\n") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "smoke", "--help"); !strings.Contains(r.stdout, "Exit status: 0 all peers are well, 3 there is no peer, 4 a peer is not well or not there.\n") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "smoke", "--builtin=false"); r.code != 3 || r.stderr != "scm: no peers\n" {
		t.Errorf("got %+v", r)
	}
}
