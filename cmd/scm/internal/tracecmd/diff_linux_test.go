package tracecmd

import (
	"errors"
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
