package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limitTest makes the test binary a program with a limit, and then the command that it becomes.
const limitTest = "SCM_TEST_LIMIT"

func init() {
	switch os.Getenv(limitTest) {
	case "limit":
		_ = os.Setenv(limitTest, "command")
		go Main() // on another thread: inits are locked to the first
		select {}
	case "command":
		var signal int32
		if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0); err != nil {
			fmt.Println(err)
		}
		fmt.Println(signal)
		os.Exit(0)
	}
}

// A peer with a limit of open files still ends with the runner, whichever thread executes it.
func TestLimitKeepsDeathSignal(t *testing.T) {
	runtime.LockOSThread() // its end would be the parent's
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", limitArgument, "64", "/proc/self/exe")
	cmd.Env = append(os.Environ(), limitTest+"=limit")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "9\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
