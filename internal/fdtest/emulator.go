//go:build unix

package fdtest

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// EmulatorVariable holds the path of the emulator that tests are run under. proof/foreign sets it.
const EmulatorVariable = "SCM_TEST_EMULATOR"

// Reasons to skip a test that depends on something qemu-user does differently.
const (
	NotCut        = "qemu-user doubles the size of the control buffer, so it leaves excess descriptors open and does not set MSG_CTRUNC"
	NoBuffers     = "qemu-user makes no system call for a message without buffers"
	Traced        = "strace would trace the emulator"
	HostByteOrder = "qemu-user does not convert the data that is read and written there from the byte order of the machine"
	OwnFiles      = "qemu-user opens and closes files of its own when a thread starts, with a descriptor that has just been closed"
	HostCalls     = "/proc shows a system call of the emulator"
	OwnProgram    = "a program that qemu-user runs cannot start /proc/self/exe"
)

// Emulator returns the path of the emulator that runs this program, or "" if the program runs natively.
//
// Emulator ignores the variable unless /proc confirms it. qemu-user replaces /proc/self/exe by the path of the
// program, but not other names of the same link, which lead to the emulator. A native program that inherits
// the variable therefore skips no test.
func Emulator() string {
	path := os.Getenv(EmulatorVariable)
	if path == "" {
		return ""
	}
	shown, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	known, err := os.Readlink("/proc/thread-self/exe")
	if err != nil || known == shown {
		return ""
	}
	return path
}

// OnGVisor reports whether gVisor is the kernel.
func OnGVisor() bool {
	var name unix.Utsname
	return unix.Uname(&name) == nil && strings.Contains(unix.ByteSliceToString(name.Release[:]), "gvisor")
}
