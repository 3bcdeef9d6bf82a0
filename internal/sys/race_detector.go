//go:build race && unix

package sys

import (
	"runtime"
	"syscall"
)

// The race detector does not see system calls. Package syscall tells it that each of its writes happens before each
// of its later reads, because a read does not show which write its bytes are from. Package net inherits that. The
// calls below have no other effect, and make a send count as such a write, and a receive as such a read.

// BeforeSend informs the race detector that everything the goroutine has done so far happens before everything that
// another one does after AfterReceive, or after a Read of package net.
func BeforeSend() { _, _ = syscall.Write(-1, nil) }

// AfterReceive informs the race detector of a successful receive from sock.
func AfterReceive(sock int32) {
	fd := int(sock) // on Linux, a read of no bytes takes nothing from a socket, and does not wait
	if runtime.GOOS != "linux" {
		var err error
		if fd, err = syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != nil {
			return
		}
		defer func() { _ = syscall.Close(fd) }()
	}
	_, _ = syscall.Read(fd, nil)
}
