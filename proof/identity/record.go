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

	"github.com/scm-rights/scm/internal/recorder"
)

// A walk describes a run of the program in the folder walk. It makes either a number of calls derived from
// a seed, or the calls of every size that docs/trust.md lists.
type walk struct {
	seed, calls int
	sizes       bool
	slow        bool // in an emulated machine
}

func (w walk) args() []string {
	if w.sizes {
		return []string{"sizes"}
	}
	return []string{strconv.Itoa(w.seed), strconv.Itoa(w.calls)}
}

const walkPackage = "./proof/identity/walk"

// A recording contains the system calls and the output of a walk. The output describes each step and its
// outcome: the results of the call, and the descriptors that it opened and closed.
type recording struct {
	walk  walk
	calls [][]recorder.Call // by section, which is one call of the backend
	lines []string
}

// deadline limits the time of a walk, because a walk with a fault may hang.
func (w walk) deadline() time.Duration {
	if w.slow {
		return 2 * time.Hour
	}
	return 5 * time.Minute
}

// record makes the walk with the program at path, in an empty folder. If the program fails, record returns both
// an error and the recording up to the failure.
func (w walk) record(path string) (*recording, error) {
	dir, err := os.MkdirTemp("", "identity")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var out, errs strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), w.deadline())
	defer cancel()
	cmd := exec.CommandContext(ctx, path, w.args()...)
	cmd.Dir = dir
	// Disable garbage collection and the signals that preempt goroutines, so that the runtime makes no
	// system calls of its own.
	cmd.Env = []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=2"}
	cmd.Stdout, cmd.Stderr = &out, &errs
	calls, err := recorder.Record(cmd, recorder.Options{Sections: true})
	var exit *recorder.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	calls = slices.DeleteFunc(calls, ofScheduler)
	r := &recording{walk: w, calls: bySection(calls), lines: strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")}
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, &errs)
	}
	return r, r.sound()
}

// ofScheduler reports whether Go's scheduler may have made the call. It calls futex to wake its threads whenever a
// time slice ends, and sched_yield while it waits for a lock.
func ofScheduler(c recorder.Call) bool {
	return strings.HasPrefix(c.Name(), "futex") || c.Name() == "sched_yield"
}

// bySection groups calls by section, so that a missing call does not make all later ones differ.
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

// at returns an element of the list, or the zero value beyond its end.
func at[T any](list []T, i int) (zero T) {
	if i < len(list) {
		return list[i]
	}
	return zero
}

// sound verifies that the program passed messages with direct system calls, as a C program does, even
// on architectures that have socketcall. It also verifies that it received a message with
// the maximum number of descriptors, because some libcs do not allow that many.
func (r *recording) sound() error {
	most := false
	for _, c := range slices.Concat(r.calls...) {
		if c.ViaSocketcall() && c.Name() != "socketcall" {
			return fmt.Errorf("call %d: %s was made by socketcall", c.Section, c.Name())
		}
		most = most || c.Name() == "recvmsg" && len(c.ReceivedFDs()) == maxFDs
	}
	if !most {
		return fmt.Errorf("%d descriptors were not received in any message", maxFDs)
	}
	return nil
}

// maxFDs is SCM_MAX_FD of the kernel.
const maxFDs = 253

// count returns the number of system calls.
func (r *recording) count() int { return len(slices.Concat(r.calls...)) }

// attempts is the maximum number of times to record a walk when one recording contains a call that the
// other does not. On a busy machine, the runtime's scheduler makes a few system calls of its own, in
// different places in each run.
const attempts = 8

// against returns the differences from another recording, with those in system calls first. path and
// otherPath are the paths of the two programs. As long as one recording contains a call that the other
// does not, against records both programs again.
func (r *recording) against(other *recording, path, otherPath string) ([]difference, error) {
	for n := 1; ; n++ {
		found := r.differences(other)
		again := slices.ContainsFunc(found, func(d difference) bool { return d.field == recorder.OtherCall })
		if !again || n == attempts {
			return found, nil
		}
		if err := errors.Join(r.recordAgain(path), other.recordAgain(otherPath)); err != nil {
			return nil, err
		}
	}
}

// recordAgain records the walk again. For each section, it keeps the recording with fewer calls, because
// the runtime adds calls of its own to different sections in each run.
func (r *recording) recordAgain(path string) error {
	again, err := r.walk.record(path)
	if err != nil {
		return err
	}
	if !slices.Equal(again.lines, r.lines) {
		return fmt.Errorf("%s does not print the same again", filepath.Base(path))
	}
	for i := range r.calls {
		if calls := at(again.calls, i); len(calls) < len(r.calls[i]) {
			r.calls[i] = calls
		}
	}
	return nil
}

// A difference describes how the system calls of two recordings, or their outputs, differ.
type difference struct {
	field, text string // the field is "line" for the outputs
	bytes       int    // the number of bytes that differ
}

// exactly compares everything except values that necessarily differ from run to run, and the part
// of a receive's buffers that the kernel did not write. The unwritten bytes differ because csrc reuses
// one buffer for many calls.
var exactly = recorder.Comparison{
	ExactIDs: true,
	AnyTime:  true,
	UsedOnly: []recorder.MemoryKind{recorder.Payload, recorder.Address},
}

func (r *recording) differences(other *recording) (found []difference) {
	for n := 1; n < max(len(r.calls), len(other.calls)); n++ {
		for _, d := range exactly.All(at(r.calls, n), at(other.calls, n)) {
			found = append(found, difference{d.Field, fmt.Sprintf("section %d, %v", n, d), unequal(d.BytesA, d.BytesB)})
		}
	}
	for i := range max(len(r.lines), len(other.lines)) {
		if a, b := at(r.lines, i), at(other.lines, i); a != b {
			// Report only the first line that differs, because it makes later lines differ too.
			found = append(found, difference{"line", fmt.Sprintf("the walk: line %d: %s against %s", i+1, a, b), 1})
			break
		}
	}
	return found
}

// unequal returns the number of bytes that differ, or 1 if the values are not bytes.
func unequal(a, b []byte) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return max(n, 1)
}
