//go:build race

package sys

import (
	"runtime"
	"unsafe"
)

// messages represents all sockets, because a receive does not show which send its bytes are from.
// Package syscall does the same for its Read and Write.
var messages byte

// BeforeSend informs the race detector, which does not see system calls, that everything the goroutine has
// done so far happens before everything that another one does after AfterReceive.
func BeforeSend() { runtime.RaceReleaseMerge(unsafe.Pointer(&messages)) }

// AfterReceive informs the race detector of a successful receive.
func AfterReceive() { runtime.RaceAcquire(unsafe.Pointer(&messages)) }
