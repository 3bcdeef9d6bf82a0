//go:build linux

package scm_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Some specs need a process of their own: for a limit, another user, an exec.
// They start the test binary again, which is then a child by name and no suite.

const childVariable = "SCM_TEST_CHILD"

var children = map[string]func(args []string){}

func TestMain(m *testing.M) {
	run, ok := children[os.Getenv(childVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	RegisterFailHandler(func(message string, _ ...int) {
		fmt.Fprintf(os.Stderr, "%s\n%s", message, debug.Stack())
		os.Exit(1)
	})
	run(os.Args[1:])
}

// child names a function that runChild can run in a process of its own. An
// expectation that fails ends that process.
func child(name string, run func(args []string)) bool {
	children[name] = run
	return true
}

// childCommand is the command for a child. By /proc/self/exe another user can
// run it too, whatever the folders above it allow. Under an emulator that is the
// emulator's own program, which is told to run this one.
func childCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	if emulator := fdtest.Emulator(); emulator != "" {
		cmd = exec.Command(emulator, append([]string{os.Args[0]}, args...)...)
	}
	// The race detector's runtime would sleep for a second at the end.
	cmd.Env = append(os.Environ(), childVariable+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// runChild starts the command, and returns what it wrote to standard output.
func runChild(cmd *exec.Cmd) string {
	GinkgoHelper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	Expect(cmd.Run()).To(Succeed(), "standard error: %s", &stderr)
	return stdout.String()
}
