package reexec

import (
	"fmt"
	"os"

	"github.com/scm-rights/scm/internal/fdtest"
)

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
