package interop

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// If a file cannot be made because a resource is exhausted, the case is "not run", because that is
// no property of the system, and the next case tries again.
func TestExhaustedIsNotUnsupported(t *testing.T) {
	self := runner(t)
	s := mustParse(t, rule+"on stream\nfiles a=file\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n")
	list := []scenario.Case{onStream(s, self, self)}
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EROFS, unix.ENODEV} {
		restore := kinds.Substitute("file", 0, errno)
		want := scenario.NotRun
		if errno == unix.ENODEV {
			want = scenario.Unsupported
		}
		for _, r := range Run(context.Background(), list, nil, Options{}).Results {
			if r.Verdict != want || !strings.Contains(r.Why, errno.Error()) {
				t.Errorf("%v: %s: got %s, want %s", errno, r.Name, outcome(r), want)
			}
		}
		restore()
	}
}

// A file that cannot be made affects neither the cases before nor those after it.
func TestExhaustedIsOneCase(t *testing.T) {
	self := runner(t)
	for _, c := range []struct {
		kind  string
		errno error
		want  string
	}{
		{"memfd", unix.ENOSPC, "not run: file a=memfd: no space left on device"},
		{"memfd", unix.EPERM, "not run: file a=memfd: operation not permitted"},
		// Another process of the user may have them all.
		{"inotify", unix.EMFILE, "unsupported: file a=inotify: " + kinds.ErrTaken.Error()},
	} {
		text, p := passOne, self
		if c.kind == "inotify" { // only kernel scenarios can use it
			text, p = strings.Replace(passOne, "on stream", "on stream\nplay kernel", 1), self.Kernel()
		}
		right := onStream(mustParse(t, text), p, p)
		s := mustParse(t, strings.ReplaceAll(text, "pipe-r", c.kind))
		// the first file is made to find out whether the system supports the kind
		restore := kinds.Substitute(c.kind, 1, c.errno)
		o := Run(context.Background(), []scenario.Case{right, onStream(s, p, p), right}, nil, Options{})
		restore()
		var got []string
		for _, r := range o.Results {
			got = append(got, outcome(r))
		}
		want := []string{"pass", c.want, "pass"}
		if !slices.Equal(got, want) || o.Results[1].Broken {
			t.Errorf("%v: got %q, want %q", c.errno, got, want)
		}
	}
}
