package reexec

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// InUserNamespace returns the attributes of a child that is root in a user namespace of its own. It returns an error if
// this user cannot create one.
func InUserNamespace() (*syscall.SysProcAttr, error) {
	unmapped := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	mapped := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	// Try without the mappings first. If clone(2) fails with mappings, package syscall leaves a pipe open.
	for _, attr := range []*syscall.SysProcAttr{unmapped, mapped} {
		probe := exec.Command("true")
		probe.SysProcAttr = attr
		if err := probe.Run(); err != nil {
			return nil, fmt.Errorf("a user namespace cannot be created here: %w", err)
		}
	}
	return mapped, nil
}
