package tracecmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { fdleak.Main(m) }

// A report lists each text once, with the number of its calls, and 8 texts at most.
func TestDiffReport(t *testing.T) {
	r := newDiffReport(&diffOptions{})
	calls := make([]recorder.Call, 30)
	for i := range calls {
		d := &recorder.Difference{A: &calls[i], B: &calls[i], When: recorder.AtEntry, Place: recorder.Place{Message: -1, Field: "field"}, TextA: "0", TextB: strconv.Itoa(min(i, 22))}
		r.add([]*recorder.Difference{d, d})
	}
	text := r.text(30)
	const end = "0 against 7' (1 call of process 0)\nand 15 other differences (-v lists all)\n"
	last := len(r.counted[22].calls)
	if strings.Count(text, " (1 call of process 0)\n") != 8 || !strings.HasSuffix(text, end) || last != 8 {
		t.Errorf("got\n%sand %d calls of the last, want 8 differences, %q and 8 calls", text, last, end)
	}
}

// For an --allow line that did not occur, a report says which line would have. It also says which differences are
// next to bytes that vary in A, and what --allow requires. It lists 8 places that vary.
func TestDiffReportRemarks(t *testing.T) {
	o, comparison := &diffOptions{}, &recorder.Comparison{}
	parse := func(line string) *recorder.Allowance {
		a, err := recorder.ParseAllowance(line)
		if err = errors.Join(err, comparison.Allow(a)); err != nil {
			t.Fatal(err)
		}
		return a
	}
	o.allowed = append(o.allowed, parse("syscall 0: msg_flags"), parse("syscall 0: flags"),
		parse("syscall 0: payload 0[1:2] of 8"), parse("call 1 of process 1, syscall 0: payload 1[3:4] of 8"))
	for i := range 10 {
		o.varying = append(o.varying, parse(fmt.Sprintf("call %d of process 1, syscall 0: payload[4:6] of 8", i+1)))
	}
	r := newDiffReport(o)
	differ := func(call, from, to int, place recorder.Place) *recorder.Difference {
		place.Message, place.Index, place.From, place.To, place.LenA, place.LenB = -1, -1, from, to, 8, 8
		d := &recorder.Difference{Process: 1, Call: call, A: &recorder.Call{}, B: &recorder.Call{}, When: recorder.AtEntry, Place: place, TextA: "1", TextB: "2"}
		d.BytesA, d.BytesB = make([]byte, 8), make([]byte, 8)
		d.BytesB[from] = 1
		return d
	}
	payload := recorder.Place{Memory: recorder.Payload, Field: "payload"}
	flags := differ(1, 0, 1, recorder.Place{Field: "msg_flags"})
	flags.When, flags.To = recorder.AtReturn, 0
	r.add([]*recorder.Difference{
		differ(1, 3, 4, payload), differ(1, 1, 2, payload), flags,
		differ(11, 6, 7, payload), differ(2, 6, 7, payload), // only in one of the two calls
	})
	const near = "; next to bytes that are not the same in each run of A"
	const want = "--allow 'syscall 0: payload[3:4] of 8: 1 against 2' (1 call of process 1" + near + ")\n" +
		"--allow 'syscall 0: payload[1:2] of 8: 1 against 2' (1 call of process 1)\n" +
		"--allow 'syscall 0: msg_flags on return: 1 against 2' (1 call of process 1)\n" +
		"--allow 'syscall 0: payload[6:7] of 8: 1 against 2' (2 calls of process 1)\n" +
		"allowed, but did not occur: syscall 0: msg_flags (but syscall 0: msg_flags on return did)\n" +
		"allowed, but did not occur: syscall 0: flags\n" +
		"allowed, but did not occur: syscall 0: payload 0[1:2] of 8 (but syscall 0: payload[1:2] of 8 did)\n" +
		"allowed, but did not occur: call 1 of process 1, syscall 0: payload 1[3:4] of 8 (but call 1 of process 1, syscall 0: payload[3:4] of 8 did)\n"
	const places = "' (not the same in each run of A)\n"
	const end = places + "and 2 other places that are not the same in each run of A (-v lists all)\n"
	text := r.text(20)
	if !strings.Contains(text, want) || strings.Count(text, places) != 8 || !strings.HasSuffix(text, end) {
		t.Errorf("got\n%swant\n%s8 places and\n%s", text, want, end)
	}
}

// The notes mention several threads or processes only for a difference that depends on the order of calls.
func TestDiffOrderNotes(t *testing.T) {
	for _, c := range []struct {
		field string
		when  recorder.When
		want  int
	}{
		{recorder.OtherCall, recorder.AsAWhole, 2}, {recorder.Result, recorder.AtReturn, 2},
		{"flags", recorder.AtEntry, 0}, {"received descriptor 1 at the exit of process 1", recorder.AtExit, 0},
	} {
		d := &recorder.Difference{Threads: true, Several: true, A: &recorder.Call{}, When: c.when, Place: recorder.Place{Field: c.field}}
		if text := notes(d); strings.Count(text, "from run to run")-strings.Count(text, "Whether") != c.want {
			t.Errorf("%s: %s, want %d notes about the order", c.field, text, c.want)
		}
	}
}

// An input that may not be opened again, as below sudo -u, is copied.
func TestDiffInputNotReopened(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	err := os.WriteFile(name, []byte("text"), 0o600)
	file, opened := os.Open(name)
	if err := errors.Join(err, opened, file.Chmod(0)); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ownthread.Run(func() { // without capabilities, with which root may open any file
		dropped := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &make([]unix.CapUserData, 2)[0])
		in, err := newInput(file)
		if err := errors.Join(dropped, err); err != nil {
			t.Errorf("newInput, without capabilities: %v", err)
			return
		}
		defer in.file.Close()
		again, err := in.open()
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		defer again.Close()
		if text, err := io.ReadAll(again); string(text) != "text" || err != nil {
			t.Errorf("read %q, %v", text, err)
		}
	})
}
