package scenario

import (
	"strings"
	"testing"
)

// What Parse accepts, the plan and the comparison of answers can use.
func FuzzParse(f *testing.F) {
	f.Add(simple)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("group/id", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "group/id:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error does not name the scenario, in one line: %q", err)
			}
			return
		}
		_ = s.ValidatePeer()
		peers := []*Peer{{Name: "x"}, {Name: "y"}}
		peers[1].Hello.Payload = "0102"
		for _, c := range Plan([]*Scenario{s}, peers, RunnerPeer()) {
			if _ = c.Unsupported(); len(c.Scenario.Steps) != len(s.Steps) {
				t.Errorf("%s has %d steps, and the scenario %d", c.Name(), len(c.Scenario.Steps), len(s.Steps))
			}
		}
		for _, st := range s.Steps {
			for _, a := range st.Alternatives {
				_, _ = a.Match(a.Line)
			}
		}
	})
}
