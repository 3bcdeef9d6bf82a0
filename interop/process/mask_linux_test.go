package process

import (
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// Signals that the runner was started with blocked are not blocked in a peer.
func TestPeersStartWithNoSignalBlocked(t *testing.T) {
	blocked := make(chan error)
	starter() <- func() {
		var set unix.Sigset_t
		set.Val[0] = 1 << (unix.SIGUSR1 - 1)
		blocked <- unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
	}
	if err := <-blocked; err != nil {
		t.Fatal(err)
	}
	// Not the shell: it may empty the mask itself.
	p := scenario.Program("x", "awk", `/^SigBlk:/ { print ($2 ~ /^0+$/) ? "none" : $2 }`, "/proc/self/status")
	proc, err := Start(p, nil, scenario.User{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if got, err := proc.Hear(t.Context(), DefaultTimeout); got != "none" {
		t.Errorf("blocked: %s, %v", got, err)
	}
}

// An answer that came while the runner was stopped, for longer than it may take, is heard.
func TestAnswerThatIsThereIsNoHang(t *testing.T) {
	for range 100 {
		proc := &Process{Answers: make(chan answer, 1)}
		proc.Answers <- answer{text: "ok"}
		if got, err := proc.Hear(t.Context(), 0); got != "ok" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}
