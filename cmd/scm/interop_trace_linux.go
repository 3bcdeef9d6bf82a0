package main

import (
	"os"
	"os/exec"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/process"

	"github.com/spf13/cobra"
)

// tracedBytes is how much of a payload the record of a failed case has: most of the
// buffers of receives are room.
const tracedBytes = 64

// traceFlag has the cases that fail recorded.
func (o *playing) traceFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.trace, "trace", false, "play a case that fails, and was not expected to, once more under the recorder, and report what both peers said to the kernel, with the bytes, as \"scm trace --raw\" does; no verdict changes")
}

// recordPeer is the recorder, for the runner.
func recordPeer(cmd *exec.Cmd, started func(), call func(lines []string)) error {
	_, err := recorder.Record(cmd, recorder.Options{
		Limit:   tracedBytes,
		Started: func(*os.Process) { started() },
		Handle:  func(c *recorder.Call) { call(strings.Split(string(appendCall(nil, c, true)), "\n")) },
	})
	return err
}

// recorder is who records the cases that fail, if anybody is to.
func (o *playing) recorder() process.Recorder {
	if !o.trace {
		return nil
	}
	return recordPeer
}
