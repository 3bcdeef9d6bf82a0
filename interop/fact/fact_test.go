package fact

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

const roleA, roleB = scenario.RoleA, scenario.RoleB

// What a reader sees of each fact.
func TestLines(t *testing.T) {
	a := File{Name: "a", Owner: roleA}
	asock := File{Name: "asock", Owner: roleA, Socket: true}
	var many []Descriptor
	for fd := range maxListed + 2 {
		many = append(many, Descriptor{Side: roleB, FD: fd, Closed: true})
	}
	seen := func(d ...Descriptor) []string { return Observation{Side: roleB, Descriptors: d}.Lines() }
	for _, c := range []struct {
		name string
		got  []string
		want string
	}{
		{"nothing has changed", seen(), ""},
		{"the descriptors of a case", seen(Descriptor{FD: 3, Given: true, Files: []Match{{asock, "", true}}}, Descriptor{FD: 4, Given: true, Files: []Match{{a, "", true}}}),
			"B: was started with 3 (A's socket asock), 4 (A's file a)"},
		{"a received descriptor", seen(Descriptor{Side: roleB, FD: 7, Files: []Match{{a, "kcmp", true}}, Info: &Info{Offset: 32, Status: "O_APPEND"}}),
			"B: descriptor 7 is the open file description of A's file a (kcmp), not close-on-exec, offset 32, O_APPEND"},
		{"a received descriptor that is as it should be", seen(Descriptor{Side: roleB, FD: 7, Files: []Match{{a, "O_APPEND", true}}, Info: &Info{CloseOnExec: true}}),
			"B: descriptor 7 is the open file description of A's file a (O_APPEND), close-on-exec"},
		{"a descriptor for something else", seen(Descriptor{Side: roleB, FD: 7, Else: "/dev/null"}), "B: descriptor 7 is /dev/null"},
		{"closed descriptors", seen(Descriptor{FD: 7, Closed: true, Files: []Match{{a, "", true}}}, Descriptor{FD: 9, Closed: true, Else: "for a later case"}),
			"B: no longer has 7 (A's file a), 9 (for a later case)"},
		{"many descriptors", seen(many...), "B: no longer has 0, 1, 2, 3, 4, 5, 6, 7, … and 2 more"},
		{"a file that others may be too", seen(Descriptor{Side: roleB, FD: 7, Files: []Match{{a, "inode", false}}}),
			"B: descriptor 7 is the open file description of A's file a (inode, which other files share)"},
		{"a changed file", Observation{States: []State{{a, "offset", "0", "1"}}}.Lines(), "the offset of A's file a changed from 0 to 1"},
		{"the file that a line names", Acted{Descriptor: &Descriptor{Side: roleB, FD: 7, Files: []Match{{a, "kcmp", true}}}}.Lines(),
			"B: descriptor 7 is the open file description of A's file a (kcmp)"},
		{"a file that is held", Acted{StillOpen: &StillOpen{a, roleB, "in process 7 (sleep)"}}.Lines(),
			"no descriptor of A or B refers to A's file a, but it is still open in process 7 (sleep): it was closed when the runner ended B"},
		{"a file that something else holds", Acted{StillOpen: &StillOpen{a, 0, "somewhere"}}.Lines(), "no descriptor of A or B refers to A's file a, but it is still open somewhere"},
		{"a process that ended", []string{Missing{Kind: Gone, Side: roleB}.Line()}, "B< (no answer: the process ended)"},
		{"no answer", []string{Missing{Side: roleB, Waited: 10 * time.Second}.Line()}, "B< (no answer after 10s)"},
		{"a finding of two lines", Finding("one\ntwo"), "✗ one\n  two"},
	} {
		if got := strings.Join(c.got, "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func ExampleObservation_Lines() {
	seen := Observation{Side: roleB, Descriptors: []Descriptor{
		{Side: roleB, FD: 7, Files: []Match{{File{Name: "a", Owner: roleA}, "kcmp", true}}, Info: &Info{}}}}
	fmt.Println(strings.Join(seen.Lines(), "\n"))
	// Output:
	// B: descriptor 7 is the open file description of A's file a (kcmp), not close-on-exec
}
