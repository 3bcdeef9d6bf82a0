//go:build linux

package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/mutant"
	"github.com/scm-rights/scm/internal/recorder"
)

// A script is the program of the folder script, and with what it is run: so many
// calls from a seed, or a call of each size.
type script struct {
	seed, calls int
	sizes       bool
}

func (s script) args() []string {
	if s.sizes {
		return []string{"sizes"}
	}
	return []string{strconv.Itoa(s.seed), strconv.Itoa(s.calls)}
}

const scriptPackage = "./tools/prove/identity/script"

// A recording is what a run of the script said to the kernel, and what it printed:
// the results of each call, and the descriptors open after it.
type recording struct {
	script script
	calls  [][]recorder.Call // by section
	lines  []string
}

// deadline ends a script that hangs, as a mutant may.
const deadline = 5 * time.Minute

// record runs a script that was built, in an empty folder. If the script fails,
// there is what it did until then beside the error.
func (s script) record(path string) (*recording, error) {
	dir, err := os.MkdirTemp("", "identity")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var out, errs strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, s.args()...)
	cmd.Dir = dir
	// Nothing of the runtime's own is to come between: no collection, and no signal
	// to take a goroutine off its processor.
	cmd.Env = []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=2"}
	cmd.Stdout, cmd.Stderr = &out, &errs
	calls, err := recorder.Record(cmd, recorder.Options{Sections: true})
	var exit *recorder.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	// The scheduler wakes its threads by futex, wherever a goroutine's time is up.
	calls = slices.DeleteFunc(calls, func(c recorder.Call) bool { return strings.HasPrefix(c.Name(), "futex") })
	r := &recording{script: s, calls: bySection(calls), lines: strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")}
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, &errs)
	}
	return r, r.sound()
}

// bySection sorts calls, so that one that is missing does not make all that follow
// it differ.
func bySection(list []recorder.Call) [][]recorder.Call {
	var sections [][]recorder.Call
	for i := range list {
		for len(sections) <= list[i].Section {
			sections = append(sections, nil)
		}
		sections[list[i].Section] = append(sections[list[i].Section], list[i])
	}
	return sections
}

// at returns nothing behind the end.
func at[T any](list []T, i int) (none T) {
	if i < len(list) {
		return list[i]
	}
	return none
}

// sound reports whether messages went by system calls of their own, as they do in C, also where
// there is socketcall, and as many descriptors came as a message can have, which a libc may not allow.
func (r *recording) sound() error {
	most := false
	for _, c := range slices.Concat(r.calls...) {
		if c.ViaSocketcall() && c.Name() != "socketcall" {
			return fmt.Errorf("call %d: %s went by socketcall", c.Section, c.Name())
		}
		came := 0
		for _, f := range c.Files {
			if f.AtExit && f.Open() {
				came++
			}
		}
		most = most || c.Name() == "recvmsg" && came == maxFDs
	}
	if !most {
		return fmt.Errorf("%d descriptors did not pass", maxFDs)
	}
	return nil
}

// maxFDs is SCM_MAX_FD of the kernel.
const maxFDs = 253

// count is how many system calls were recorded.
func (r *recording) count() int { return len(slices.Concat(r.calls...)) }

// attempts is how often a script is recorded at most, while there is a call that
// the other side has not. On a busy machine the runtime's scheduler makes some, each
// time between others.
const attempts = 8

// against returns how another recording differs, first what the calls said. The
// paths are those of both programs: while there is a call that the other has not,
// they are recorded again.
func (r *recording) against(other *recording, path, otherPath string) ([]difference, error) {
	for n := 1; ; n++ {
		found := r.differences(other)
		again := slices.ContainsFunc(found, func(d difference) bool { return d.field == aCall })
		if !again || n == attempts {
			return found, nil
		}
		if err := errors.Join(r.settle(path), other.settle(otherPath)); err != nil {
			return nil, err
		}
	}
}

// settle records again, and keeps of each section the recording with the fewest
// calls: what the runtime adds by chance it does not add every time.
func (r *recording) settle(path string) error {
	again, err := r.script.record(path)
	if err != nil {
		return err
	}
	if !slices.Equal(again.lines, r.lines) {
		return fmt.Errorf("%s does not do the same again", filepath.Base(path))
	}
	for i := range r.calls {
		if calls := at(again.calls, i); len(calls) < len(r.calls[i]) {
			r.calls[i] = calls
		}
	}
	return nil
}

// A difference is in what two recordings said to the kernel, or in what they printed.
type difference struct {
	field, text string
	bytes       int // how many of them differ
}

// aCall is the field of a difference where one side has made another call, or none.
const aCall = mutant.Call

// exactly compares all but what must differ from run to run, and what lies in the
// buffers of a receive where nothing came: the C has one piece of memory for many.
var exactly = recorder.Comparison{Numbers: true, AnyTime: true, Said: []recorder.What{recorder.Payload, recorder.Address}}

func (r *recording) differences(other *recording) (found []difference) {
	for n := 1; n < max(len(r.calls), len(other.calls)); n++ {
		for _, d := range exactly.All(at(r.calls, n), at(other.calls, n)) {
			found = append(found, difference{d.Field, fmt.Sprintf("section %d, %v", n, d), unequal(d.BytesA, d.BytesB)})
		}
	}
	for i := range max(len(r.lines), len(other.lines)) {
		if a, b := at(r.lines, i), at(other.lines, i); a != b {
			// What follows one that differs follows from it.
			line := fmt.Sprintf("line %d", i+1)
			found = append(found, difference{line, fmt.Sprintf("the script: %s: %s against %s", line, a, b), 1})
			break
		}
	}
	return found
}

// unequal counts bytes; what has none counts as one.
func unequal(a, b []byte) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return max(n, 1)
}
