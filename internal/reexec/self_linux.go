package reexec

import (
	"fmt"
	"os"

	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// keepInherited makes all descriptors close-on-exec, except for the standard files.
func keepInherited() {
	for _, fd := range fdtest.Open() {
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// self returns the words with which this process starts its own binary.
func self() []string {
	// /proc/self/exe would be the emulator.
	if emulator := fdtest.Emulator(); emulator != "" {
		return []string{emulator, os.Args[0]}
	}
	return []string{"/proc/self/exe"}
}

// lasting returns the words with which another process starts this one's binary.
func lasting() []string {
	if emulator := fdtest.Emulator(); emulator != "" {
		return []string{emulator, os.Args[0]}
	}
	return []string{fmt.Sprintf("/proc/%d/exe", os.Getpid())}
}
