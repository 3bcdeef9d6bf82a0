package process

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

// The names of two children. The first limits its open files and then executes the second.
const (
	limits            = "limits its files"
	printsDeathSignal = "prints its death signal"
)

func init() {
	if name := reexec.Name(); name == limits || name == printsDeathSignal {
		runtime.LockOSThread() // init runs on the first thread, to which Exec also gives the signal
	}
	reexec.Register(limits, func([]string) {
		if err := os.Setenv(reexec.Variable, printsDeathSignal); err != nil {
			fmt.Println(err)
			return
		}
		go Main() // on another thread
		reexec.Forever()
	})
	reexec.Register(printsDeathSignal, func([]string) {
		var signal int32
		if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0); err != nil {
			fmt.Println(err)
		}
		fmt.Println(signal)
	})
}

func TestMain(m *testing.M) {
	reexec.Main()
	os.Exit(m.Run())
}

// A peer with a limit of open files ends with the runner, even if a thread other than the first executes it.
func TestLimitKeepsDeathSignal(t *testing.T) {
	runtime.LockOSThread() // the end of this thread would send the signal
	defer runtime.UnlockOSThread()
	cmd := reexec.Command(limits, limitArgument, "64", "/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "9\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
