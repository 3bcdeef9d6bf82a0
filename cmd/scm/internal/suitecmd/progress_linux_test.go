package suitecmd

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { fdleak.Main(m) }

// A lineWriter passes on the lines that are written to it, or drops them if the channel is full.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}

// A run without a terminal prints its progress at regular times, even while no case ends.
func TestLineProgress(t *testing.T) {
	lines := make(lineWriter)
	count, stop := lineProgress(lines, progressText+"\n", 7, time.Millisecond, time.Millisecond)
	const before, after = "scm: 0 of 7 cases, 0 not as expected\n", "scm: 2 of 7 cases, 1 not as expected\n"
	if got := <-lines; got != before {
		t.Errorf("got %q", got)
	}
	count(scenario.Result{Verdict: scenario.Pass})
	count(scenario.Result{Verdict: scenario.Fail})
	for range 2 {
		for <-lines != after { // a line may have been due before
		}
	}
	stop()
	select {
	case got := <-lines:
		t.Errorf("printed %q after the end", got)
	default:
	}
}

// On a terminal, the line replaces itself, and is gone at the end. It counts the cases of the peers that the run is
// about, not those of the runner with itself.
func TestProgressOnTerminal(t *testing.T) {
	master, terminal := openTerminal(t)
	mine, runner := &scenario.Peer{Name: "mine"}, scenario.RunnerPeer()
	p := &plan{given: []string{"mine"}, cases: []scenario.Case{{A: runner, B: runner}, {A: mine, B: runner}, {A: runner, B: mine}}}
	count, stop := newProgress(terminal, p)
	count(scenario.Result{Name: "a/b/stream/runner/runner"})
	count(scenario.Result{Name: "a/b/stream/mine/runner"})
	const before, line = "\rscm: 0 of 2 cases, 0 not as expected", "\rscm: 1 of 2 cases, 0 not as expected"
	got := make([]byte, len(line))
	for string(got) != line {
		if _, err := io.ReadFull(master, got); err != nil || string(got) != before && string(got) != line {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	stop()
	_ = terminal.Close()
	rest, _ := io.ReadAll(master) // EIO at the end
	const cleared = "\r\x1b[K"
	if len(rest) < len(cleared) || string(rest[len(rest)-len(cleared):]) != cleared {
		t.Errorf("got %q at the end", rest)
	}
}

func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	fdtest.Must(t, err)
	fdtest.Must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	terminal, err = os.OpenFile(filepath.Join("/dev/pts", strconv.FormatUint(uint64(n), 10)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}
