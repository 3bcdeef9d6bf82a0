package spectest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Some specs need a process of their own: for a limit, another user, an exec.
// They start the test binary again, with the child's name in its environment.

// ChildVariable holds the name of the child that a test binary is.
const ChildVariable = "SCM_TEST_CHILD"

var children = map[string]func(args []string){}

// Main is the body of a suite's TestMain: it runs the child that the environment names,
// or the tests.
func Main(m *testing.M) {
	name, isChild := os.LookupEnv(ChildVariable)
	if !isChild {
		gomega.SetDefaultEventuallyTimeout(Hang) // Gomega's own, a second, is too short on a busy machine
		os.Exit(m.Run())
	}
	run, ok := children[name]
	if !ok { // the whole suite once more, with children of its own, and so on
		fmt.Fprintf(os.Stderr, "%s=%s: no child has this name\n", ChildVariable, name)
		os.Exit(2)
	}
	gomega.RegisterFailHandler(func(message string, _ ...int) {
		fmt.Fprintf(os.Stderr, "%s\n%s", message, debug.Stack())
		os.Exit(1)
	})
	run(os.Args[1:])
}

// Child registers a function that ChildCommand runs in a process of its own. An
// expectation that fails ends that process.
func Child(name string, run func(args []string)) bool {
	children[name] = run
	return true
}

// ChildCommand is the command for a child. By /proc/self/exe another user can
// run it too, whatever the folders above it allow. Under an emulator that is the
// emulator's own program, which is given this one to run.
func ChildCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	if emulator := fdtest.Emulator(); emulator != "" {
		cmd = exec.Command(emulator, append([]string{os.Args[0]}, args...)...)
	}
	// The race detector's runtime would sleep for a second at the end.
	cmd.Env = append(os.Environ(), ChildVariable+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// RunChild runs the command, and returns what it wrote to standard output.
func RunChild(cmd *exec.Cmd) string {
	ginkgo.GinkgoHelper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	gomega.Expect(cmd.Run()).To(gomega.Succeed(), "standard error: %s", &stderr)
	return stdout.String()
}

// ReadableByOthers returns an error if another user may not run the test binary.
func ReadableByOthers() error {
	info, err := os.Stat("/proc/self/exe")
	if err == nil && info.Mode()&0o001 == 0 {
		err = fs.ErrPermission
	}
	return err
}
