//go:build race

package sys

import (
	"runtime"
	"unsafe"
)

// messages stands for all sockets, as one variable of package syscall does for its Read and
// Write: nobody can say from which send a received byte is.
var messages byte

// BeforeSend tells the race detector, which sees no system call, that what a goroutine has
// done so far comes before what another one does after AfterReceive.
func BeforeSend() { runtime.RaceReleaseMerge(unsafe.Pointer(&messages)) }

// AfterReceive is for a receive that succeeded.
func AfterReceive() { runtime.RaceAcquire(unsafe.Pointer(&messages)) }
