package interop

import (
	"testing"

	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// rule begins every transcript of these tests: two lines.
const rule = "# What must hold.\n# Where that comes from.\n"

// passOne has one descriptor passed.
const passOne = rule + "on stream\nfiles a=pipe-r\n" +
	"A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"

func mustParse(t testing.TB, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("group/id", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onStream(s *scenario.Scenario, a, b *scenario.Peer) scenario.Case {
	return scenario.Case{Scenario: s, Type: "stream", A: a, B: b}
}

func caseNames(cases []scenario.Case) (list []string) {
	for _, c := range cases {
		list = append(list, c.Name())
	}
	return list
}

// pipeEnd is a file of a case, closed at the end of the test.
func pipeEnd(t *testing.T) *witness.File {
	t.Helper()
	f, err := kinds.New(scenario.FileSpec{Name: "a", Owner: scenario.RoleA, Kind: "pipe-r"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// number is a duplicate, closed at the end of the test.
func number(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(n) })
	return n
}
