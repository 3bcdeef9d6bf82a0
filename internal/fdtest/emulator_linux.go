package fdtest

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// EmulatorVariable holds the path of the emulator that tests are run under. tools/prove/foreign sets it.
const EmulatorVariable = "SCM_TEST_EMULATOR"

// What qemu-user cannot do. A test that asks for it is skipped with the reason.
const (
	NotCut        = "qemu-user gives the kernel twice the room that it was given, leaves open what came too much, and sets no MSG_CTRUNC"
	NoBuffers     = "qemu-user makes no system call for a message without buffers"
	Traced        = "strace would trace the emulator"
	HostByteOrder = "qemu-user leaves what is read and written there in the byte order of the machine"
	OwnFiles      = "qemu-user opens and closes files of its own as threads begin, in a number that has just been freed"
	HostCalls     = "the system call that /proc shows is one of the emulator's"
)

// Emulator is the path of the emulator that this program runs under, or "" if there is none.
//
// What the variable says is believed only where the kernel says so too: qemu-user shows a program
// its own name as /proc/self/exe, and by another path the kernel shows the emulator's. So a variable
// that was inherited by a program of the machine's own kind leaves nothing out.
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
