//go:build race && unix

package sys

import (
	"runtime"
	"syscall"
)

// The race detector does not see system calls. Package syscall informs it that a Write happens before each later Read,
// because a Read does not show which Write its bytes are from. Here, a send and a receive use package syscall to count
// as a Write and a Read. Package net's Write and Read use it too.

// BeforeSend informs the race detector that everything the goroutine has done so far happens before everything that
// another one does after AfterReceive, or after a Read.
func BeforeSend() { _, _ = syscall.Write(-1, nil) }

// AfterReceive informs the race detector of a receive from sock that returned err.
func AfterReceive(sock int32, err error) {
	if err != nil {
		return
	}
	fd := int(sock) // on Linux, a read of no bytes takes nothing from a socket, and does not wait
	if runtime.GOOS != "linux" {
		if fd, err = syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != nil {
			return
		}
		defer func() { _ = syscall.Close(fd) }()
	}
	_, _ = syscall.Read(fd, nil)
}
