package interop

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// fakeRecorder starts a command as a recorder does, and reports one call.
func fakeRecorder(cmd *exec.Cmd, started func(), call func([]string)) error {
	runtime.LockOSThread() // the command ends with it
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	started()
	call([]string{"a call", "  its bytes"})
	return cmd.Wait()
}

// Only a case that failed is run once more, under the recorder, and its result stays the same.
func TestRecord(t *testing.T) {
	self := runner(t)
	bad := shellPeer(t, `recv) exit 7;;`)
	hang := shellPeer(t, `recv) exec sleep 1000;;`)
	gone := shellPeer(t, `recv) exit 7;;`)
	bad.Name, hang.Name, gone.Name = "bad", "hang", "gone"
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	x := expecting(t, "** crash@gone why")
	cases := []scenario.Case{onStream(s, self, self), onStream(s, self, bad), onStream(s, self, hang), onStream(s, self, gone)}
	o := Run(context.Background(), cases, x, Options{Timeout: deadline, Recorder: fakeRecorder})
	without := Run(context.Background(), cases, x, Options{Timeout: deadline})
	for i, r := range o.Results {
		if r.Verdict != without.Results[i].Verdict || fmt.Sprint(r.Findings) != fmt.Sprint(without.Results[i].Findings) {
			t.Errorf("%s: got %s, without a recorder %s", r.Name, outcome(r), outcome(without.Results[i]))
		}
		if (r.Trace != nil) != (r.Verdict == scenario.Fail) {
			t.Errorf("%s: %s has the record %+v, want one only if it fails", r.Name, outcome(r), r.Trace)
		}
		want := []string{"a call", "  its bytes"}
		record := &scenario.Trace{A: want, B: want, Transcript: r.Transcript}
		if r.Trace != nil && !reflect.DeepEqual(r.Trace, record) {
			t.Errorf("%s: got the record %+v, want %+v", r.Name, r.Trace, record)
		}
	}
	var verdicts []scenario.Verdict
	for _, r := range o.Results {
		verdicts = append(verdicts, r.Verdict)
	}
	want := []scenario.Verdict{scenario.Pass, scenario.Fail, scenario.Fail, scenario.Expected}
	if !slices.Equal(verdicts, want) {
		t.Errorf("got %q, want %q", verdicts, want)
	}
}

// If nothing can be recorded, the result still says that the case failed, and why there is no record.
func TestRecorderThatFails(t *testing.T) {
	self := runner(t)
	bad := shellPeer(t, `recv) exit 7;;`)
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	forbidden := errors.New("a setting forbids it")
	for _, c := range []struct {
		with process.Launcher
		why  string
	}{
		{func(*exec.Cmd, func(), func([]string)) error { return forbidden }, "runner cannot be recorded: a setting forbids it"},
		{func(*exec.Cmd, func(), func([]string)) error { return nil }, "runner cannot be recorded: the peer ended"},
		{func(cmd *exec.Cmd, started func(), call func([]string)) error {
			if cmd.Args[0] == "/bin/sh" {
				return forbidden
			}
			return fakeRecorder(cmd, started, call)
		}, "x cannot be recorded: a setting forbids it"},
	} {
		r := Run(context.Background(), []scenario.Case{onStream(s, self, bad)}, nil, Options{Recorder: c.with}).Results[0]
		if r.Verdict != scenario.Fail || r.Findings[0].Key() != "crash@x" || r.Trace == nil || r.Trace.Why != c.why || len(r.Trace.Transcript) > 0 {
			t.Errorf("got %+v, %+v; want %s", r, r.Trace, c.why)
		}
	}
}

// differs returns how the result under the recorder differs from the one before.
func TestDiffers(t *testing.T) {
	leak, crash := scenario.Finding{Check: scenario.CheckLeak, Peer: "x"}, scenario.Finding{Check: scenario.CheckCrash, Peer: "x"}
	was := &scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{leak}}
	for _, c := range []struct {
		now  scenario.Result
		want string
	}{
		{scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{leak}}, ""},
		{scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{leak, leak}}, ""},
		{scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{crash, leak}}, "it fails in another way under the recorder: crash@x leak@x"},
		{scenario.Result{Verdict: scenario.Pass}, "it does not fail under the recorder: pass"},
		{scenario.Result{Verdict: scenario.NotRun, Why: "no file"}, "it does not fail under the recorder: not run: no file"},
	} {
		if got := differs(was, &c.now); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.now, got, c.want)
		}
	}
}
