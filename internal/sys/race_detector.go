//go:build race

package sys

import (
	"runtime"
	"unsafe"
)

// messages stands for all sockets, because a receive does not show which send its bytes are
// from. Package syscall does the same for its Read and Write.
var messages byte

// BeforeSend informs the race detector, which sees no system call, that what a goroutine has
// done so far comes before what another one does after AfterReceive.
func BeforeSend() { runtime.RaceReleaseMerge(unsafe.Pointer(&messages)) }

// AfterReceive is for a receive that succeeded.
func AfterReceive() { runtime.RaceAcquire(unsafe.Pointer(&messages)) }
