package fdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Limit returns d multiplied by $SLOW, like tools/part.sh the time limit of a package.
func Limit(d time.Duration) time.Duration {
	slow, _ := strconv.Atoi(os.Getenv("SLOW"))
	return d * time.Duration(max(slow, 1))
}

// Wait waits for a command that has started. After Limit(d) it kills the command, and returns an error that wraps
// context.DeadlineExceeded, whose text tools/gotest recognizes.
func Wait(cmd *exec.Cmd, d time.Duration) error {
	killed, d := make(chan bool), Limit(d)
	timer := time.AfterFunc(d, func() {
		_ = cmd.Process.Kill()
		close(killed)
	})
	err := cmd.Wait()
	if !timer.Stop() {
		<-killed
		return fmt.Errorf("%q reached the time limit of %v: %w", cmd.Args, d, context.DeadlineExceeded)
	}
	return err
}
