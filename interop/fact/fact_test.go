package fact

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

const roleA, roleB = scenario.RoleA, scenario.RoleB

// Each line of the transcript is followed by what changed at it, and by what was wrong there.
func TestText(t *testing.T) {
	a := File{Name: "a", Owner: roleA}
	asock := File{Name: "asock", Owner: roleA, Socket: true}
	var many []Descriptor
	for fd := range maxListed + 2 {
		many = append(many, Descriptor{Side: roleB, FD: fd, Closed: true})
	}
	for _, c := range []struct {
		name  string
		fact  Fact
		found []string
		want  string
	}{
		{"a line that changes nothing", Fact{Text: "A> send payload=00 fds=4"}, nil, "A> send payload=00 fds=4"},
		{"the descriptors of a case", Fact{Text: "A< ok", Descriptors: []Descriptor{
			{Side: roleA, FD: 3, Given: true, Files: []Match{{asock, "", true}}}, {Side: roleA, FD: 4, Given: true, Files: []Match{{a, "", true}}}}}, nil,
			"A< ok\n    A: was started with 3 (A's socket asock), 4 (A's file a)"},
		{"a received descriptor, and a finding", Fact{Text: "B< ok n=1 payload=00 fds=7", Descriptors: []Descriptor{
			{Side: roleB, FD: 7, Files: []Match{{a, "kcmp", true}}, Info: &Info{Offset: 32, Status: "O_APPEND"}}}}, []string{"cloexec: a received descriptor is not close-on-exec"},
			"B< ok n=1 payload=00 fds=7\n    B: descriptor 7 is the open file description of A's file a (kcmp), not close-on-exec, offset 32, O_APPEND\n    ✗ cloexec: a received descriptor is not close-on-exec"},
		{"a received descriptor that is as it should be", Fact{Text: "B< ok", Descriptors: []Descriptor{
			{Side: roleB, FD: 7, Files: []Match{{a, "O_APPEND", true}}, Info: &Info{CloseOnExec: true}}}}, nil,
			"B< ok\n    B: descriptor 7 is the open file description of A's file a (O_APPEND), close-on-exec"},
		{"a descriptor for something else", Fact{Text: "B< ok", Descriptors: []Descriptor{{Side: roleB, FD: 7, Else: "/dev/null"}}}, nil,
			"B< ok\n    B: descriptor 7 is /dev/null"},
		{"closed descriptors", Fact{Text: "B< ok", Descriptors: []Descriptor{
			{Side: roleB, FD: 7, Closed: true, Files: []Match{{a, "", true}}}, {Side: roleB, FD: 9, Closed: true, Else: "for a later case"}}}, nil,
			"B< ok\n    B: no longer has 7 (A's file a), 9 (for a later case)"},
		{"many descriptors", Fact{Text: "B< ok", Descriptors: many}, nil,
			"B< ok\n    B: no longer has 0, 1, 2, 3, 4, 5, 6, 7, … and 2 more"},
		{"a changed file", Fact{Text: "B< ok", States: []State{{a, "offset", "0", "1"}}}, nil,
			"B< ok\n    the offset of A's file a changed from 0 to 1"},
		{"a file that no descriptor refers to", Fact{Text: "B< ok", Held: []Held{{a, roleB}, {a, 0}}}, nil,
			"B< ok\n    no descriptor of A or B refers to A's file a, but it is still open: it was closed when the runner ended B\n" +
				"    no descriptor of A or B refers to A's file a, but it is still open"},
		{"a file that others may be too", Fact{Text: "B< ok", Descriptors: []Descriptor{
			{Side: roleB, FD: 7, Files: []Match{{a, "inode", false}}}}}, nil,
			"B< ok\n    B: descriptor 7 is the open file description of A's file a (inode, which other files share)"},
		{"a process that ended", Fact{Kind: Gone, Side: roleB}, nil, "B< (no answer: the process ended)"},
		{"no answer, and a finding of two lines", Fact{Kind: Silent, Side: roleB, Why: "one", Waited: 10 * time.Second}, []string{"one\ntwo"},
			"B< (no answer after 10s)\n    ✗ one\n      two"},
	} {
		if got := strings.Join(Text([]Fact{c.fact}, map[int][]string{0: c.found}), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func ExampleText() {
	facts := []Fact{
		{Side: roleB, Text: "B> recv bytes=16 fds=1"},
		{Side: roleB, Text: "B< ok n=1 payload=00 fds=7", Descriptors: []Descriptor{
			{Side: roleB, FD: 7, Files: []Match{{File{Name: "a", Owner: roleA}, "kcmp", true}}, Info: &Info{}}}},
	}
	found := map[int][]string{1: {"cloexec: a received descriptor is not close-on-exec"}}
	fmt.Println(strings.Join(Text(facts, found), "\n"))
	// Output:
	// B> recv bytes=16 fds=1
	// B< ok n=1 payload=00 fds=7
	//     B: descriptor 7 is the open file description of A's file a (kcmp), not close-on-exec
	//     ✗ cloexec: a received descriptor is not close-on-exec
}
