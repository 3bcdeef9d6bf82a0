package main

import (
	"os/exec"
	"strings"
	"testing"
)

// With few descriptors to have, fewer jobs run than were asked for; with too few
// it is said at once.
func TestLimitOfOpenFiles(t *testing.T) {
	limited := func(limit, args string) result {
		return finish(t, exec.Command("/bin/sh", "-c", "ulimit -n "+limit+"; exec "+program(t, "scm")+" interop run "+args))
	}
	if r := limited("2400", "--jobs 8 --run '{limits,basics}/*/*/{runner,scm-purego}/{runner,scm-purego}'"); r.code != 0 || !strings.Contains(r.stdout, " 0 not run") {
		t.Errorf("got %+v", r)
	}
	// Go raises the soft limit for itself, and not for the peers.
	r := limited("4096; ulimit -Sn 300", "")
	if r.code != 4 || r.stderr != "scm: the soft limit of open files is 300, and a peer needs 1024: see ulimit -Sn\n" || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
	r = limited("1024", "")
	if r.code != 4 || r.stderr != "scm: the limit of open files is 1024, and a run needs 2400: see ulimit -n\n" || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
}
