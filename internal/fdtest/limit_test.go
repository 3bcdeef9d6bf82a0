//go:build unix

package fdtest

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	t.Setenv("SLOW", "2")
	for program, limit := range map[string]time.Duration{"sleep": time.Millisecond, "test": time.Hour} {
		cmd := exec.Command(program, "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		err := Wait(cmd, limit)
		if late := program == "sleep"; late != errors.Is(err, context.DeadlineExceeded) || late != (err != nil && strings.Contains(err.Error(), " reached the time limit of 2ms: ")) {
			t.Errorf("%s: got %v", program, err)
		}
	}
}
