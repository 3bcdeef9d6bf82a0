package fdtest

import (
	"fmt"
	"io"
	"path"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"github.com/scm-rights/scm/internal/received"
)

// A receipt is the receive of one descriptor.
type receipt struct {
	name  string // as nameOf returns it
	stack []uintptr
}

var receipts struct {
	sync.Mutex
	byFD    map[int]receipt    // the last one of each descriptor
	sockets map[string]receipt // the last one of each socket: RecvConn and net.FileConn duplicate them
}

// maxSockets bounds the sockets in a process that receives them without end.
const maxSockets = 10_000

// NoteReceived records for ReceivedBy every descriptor that package scm receives from now on.
var NoteReceived = sync.OnceFunc(func() {
	receipts.byFD, receipts.sockets = map[int]receipt{}, map[string]receipt{}
	received.Notify(func(fd int) {
		r := receipt{nameOf(fd), make([]uintptr, 64)}
		r.stack = r.stack[:runtime.Callers(2, r.stack)]
		receipts.Lock()
		defer receipts.Unlock()
		receipts.byFD[fd] = r
		if strings.HasPrefix(r.name, "socket:") {
			if len(receipts.sockets) == maxSockets {
				clear(receipts.sockets)
			}
			receipts.sockets[r.name] = r
		}
	})
})

// nameOf returns the kernel's name for the file of a descriptor, without the mark that the file has been deleted, as it
// is when t.TempDir has been cleaned up before the check.
func nameOf(fd int) string { return strings.TrimSuffix(Name(fd), " (deleted)") }

// ReceivedBy returns the call that received the file of a descriptor, or "" if none did. It does not notice if
// the program has closed the descriptor since and opened the same file again.
func ReceivedBy(fd int) string {
	name := nameOf(fd)
	receipts.Lock()
	defer receipts.Unlock()
	if r, ok := receipts.byFD[fd]; ok && r.name == name {
		return "received by " + r.call()
	}
	if r, ok := receipts.sockets[name]; ok {
		return "the same socket was received by " + r.call()
	}
	return ""
}

// call returns the function of scm that received the descriptor and the line that called it, which is the first
// one outside of scm and the standard library.
func (r receipt) call() string {
	function := ""
	frames := runtime.CallersFrames(r.stack)
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case isOurs(f):
			function = path.Base(f.Function)
		case !isStandard(f):
			return fmt.Sprintf("%s, called at %s:%d", function, f.File, f.Line)
		}
	}
	return function // it was started as a goroutine
}

// isOurs reports whether a frame is of a package of scm that receives.
func isOurs(f runtime.Frame) bool {
	const module = "github.com/scm-rights/scm"
	folder, name := path.Split(f.Function)
	name, _, _ = strings.Cut(name, ".")
	switch folder + name {
	case module, module + "/framed", module + "/wire", module + "/fdchannel", module + "/internal/received":
		return !strings.HasSuffix(f.File, "_test.go")
	}
	return false
}

// root returns the folder of the standard library's sources, or "" in a program built with -trimpath.
var root = sync.OnceValue(func() string {
	pc := reflect.ValueOf(io.ReadFull).Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return strings.TrimSuffix(file, "io/io.go")
})

// isStandard reports whether a frame is of the standard library.
func isStandard(f runtime.Frame) bool {
	first, _, _ := strings.Cut(f.File, "/")
	return strings.HasPrefix(f.File, root()) && (root() != "" || !strings.Contains(first, "."))
}
