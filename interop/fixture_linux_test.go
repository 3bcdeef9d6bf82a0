package interop

import (
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
)

// rule is the beginning of every transcript of these tests: the rule and its source.
const rule = "# What must hold.\n# Where that comes from.\n"

// passOne passes one descriptor.
const passOne = rule + "on stream\nfiles a=pipe-r\n" +
	"A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"

func mustParse(t testing.TB, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("group/id", []byte(text))
	fdtest.Must(t, err)
	return s
}

// expecting returns the expected failures of a list with this line.
func expecting(t *testing.T, line string) *scenario.Expectations {
	t.Helper()
	list, err := scenario.ParseExpectations("file", []byte(line))
	fdtest.Must(t, err)
	return &scenario.Expectations{List: list}
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
