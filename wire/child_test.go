//go:build linux

package wire_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Some programs start one of ours: the test binary again, which is then a child by
// name and no suite.

const childVariable = "WIRE_TEST_CHILD"

var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	name, isChild := os.LookupEnv(childVariable)
	if !isChild {
		os.Exit(m.Run())
	}
	run := children[name]
	if run == nil {
		run = func([]string) error { return fmt.Errorf("%s=%s: no child has this name", childVariable, name) }
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child names a function that childCommand runs in a process of its own.
func child(name string, run func(args []string) error) bool {
	children[name] = run
	return true
}

func childCommand(ctx SpecContext, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	if emulator := fdtest.Emulator(); emulator != "" { // /proc/self/exe is its own program
		cmd = exec.CommandContext(ctx, emulator, append([]string{os.Args[0]}, args...)...)
	}
	cmd.Env = append(os.Environ(), childEnvironment(name)...)
	return cmd
}

// childEnvironment makes the test binary that child. The race detector's runtime
// would sleep for a second at the end.
func childEnvironment(name string) []string {
	return []string{childVariable + "=" + name, "GORACE=atexit_sleep_ms=0"}
}
