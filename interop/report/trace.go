package report

import (
	"fmt"

	"github.com/scm-rights/scm/interop/scenario"
)

// Trace returns the recorded calls of a case, in lines; none if nothing was recorded.
func Trace(c scenario.Result) []string {
	t := c.Trace
	if t == nil {
		return nil
	}
	lines := []string{"played again under the recorder:"}
	if t.Why != "" {
		lines = []string{"played again under the recorder: " + t.Why}
	}
	for _, l := range t.Transcript {
		lines = append(lines, "  "+l)
	}
	_, _, a, b := split(c.Name)
	for _, side := range []struct {
		role, name string
		record     []string
	}{{"A", a, t.A}, {"B", b, t.B}} {
		if len(side.record) == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("calls of %s, %s:", side.role, side.name))
		for _, l := range side.record {
			lines = append(lines, "  "+l)
		}
	}
	return lines
}
