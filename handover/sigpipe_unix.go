//go:build unix

package handover

import (
	"os"
	"os/signal"
	"syscall"
)

var sigpipe = make(chan os.Signal, 1)

// catchSIGPIPE makes writes to standard output and standard error fail with EPIPE if nothing reads the pipe. It is
// never undone, because the program still logs while it drains. signal.Ignore would also affect the programs that
// it starts.
func catchSIGPIPE() {
	if !signal.Ignored(syscall.SIGPIPE) {
		signal.Notify(sigpipe, syscall.SIGPIPE)
	}
}
