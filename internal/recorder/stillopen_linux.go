package recorder

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A StillOpen reports that a received descriptor was still open when its process ended, when its process had executed
// another program, or when Attach stopped recording the process. The process may have inherited the descriptor from
// the process that received it.
//
// The recorder does not see the calls that open, duplicate and close descriptors. It finds the descriptor by its value
// and its file, or by its file alone if the process has more descriptors for the file than just before the receive. If
// the process has opened the same file again, with the same flags, the recorder can mistake that descriptor for the
// received one. It misses a descriptor that the process has moved to another value, if the process has also closed
// another descriptor for the file that it had before the receive. If the descriptor table has more than 512 entries,
// the recorder does not count the other descriptors, and finds a descriptor only at the value with which it was
// received.
//
// The recorder cannot distinguish anonymous files of one kind, such as two eventfds. It finds the descriptor of an
// anonymous file only at the value with which it was received, and the program may have closed that file and created
// another one there. The same is true of devices that create a file for each open, such as /dev/ptmx.
//
// A file system can use the inode number of a deleted file for another one. The recorder distinguishes the two by the
// time of their creation, if the file system has it, and by their names: the name of a deleted file does not change. A
// file with another name may be the received one, renamed or deleted.
//
// A closed descriptor whose file is a fixed file of an io_uring is still open. The recorder finds the file by its name,
// so not if it was renamed.
//
// The descriptors of threads and processes that share a table are reported when the last of them ends. Those of a
// thread that has stopped sharing it, with unshare(2) or close_range(2), are reported when that thread ends.
type StillOpen struct {
	Process *Process
	Exec    bool   // the process has executed a program, and has not ended
	Running bool   // the recording has ended, and the process has not
	Program string // the path of that program; empty if it is unknown
	File    File
	Receipt Receipt
	Fixed   bool // the file is a fixed file of an io_uring, and has no descriptor
	// the received descriptor may have been closed, because its file cannot be distinguished from another one
	perhaps bool
}

// Text returns the report as a line of text.
func (o *StillOpen) Text() string {
	event := o.event()
	if o.Program != "" {
		event += " " + quotedName(o.Program)
	}
	r := &o.Receipt
	moved, receiver := "", ""
	if r.FD != o.File.FD {
		moved = fmt.Sprintf(", received as %d", r.FD)
	}
	if o.Fixed {
		moved = ", a fixed file of an io_uring"
	}
	if r.Process != o.Process {
		receiver = fmt.Sprintf(" of process %d", r.Process.PID)
	}
	return fmt.Sprintf("%s: %s %s%s, descriptor %d of %d from %s(%s)%s",
		event, o.state(), o.File.text(), moved, r.Index, r.Count, r.Call, r.Socket.text(), receiver)
}

// event returns what happened when the descriptor was open.
func (o *StillOpen) event() string {
	switch {
	case o.Running:
		return "running"
	case o.Exec:
		return "exec"
	}
	return "exit"
}

// state returns whether the descriptor was open, in words.
func (o *StillOpen) state() string {
	state := map[string]string{"running": "open", "exec": "passed on", "exit": "still open"}[o.event()]
	if o.uncertain() {
		return "perhaps " + state
	}
	return state
}

// uncertain reports whether the received descriptor may have been closed. An anonymous file cannot be distinguished
// from another one of its kind.
func (o *StillOpen) uncertain() bool {
	return o.perhaps || o.File.Errno != 0 || strings.HasPrefix(o.File.Name, "anon_inode:")
}

type (
	jsonStillOpen struct {
		Event      string      `json:"event"` // "exit", "exec" or "running"
		PID        int         `json:"pid"`
		Program    string      `json:"program,omitempty"`
		ProgramHex string      `json:"program_hex,omitempty"` // the path in hexadecimal, if it is not UTF-8
		Perhaps    bool        `json:"perhaps,omitempty"`     // the received descriptor may have been closed
		Fixed      bool        `json:"fixed_file,omitempty"`  // of an io_uring
		Descriptor jsonFile    `json:"descriptor"`
		Received   jsonReceipt `json:"received"`
	}
	jsonReceipt struct {
		PID    int      `json:"pid"`
		TID    int      `json:"tid"`
		Call   string   `json:"call"`
		Socket jsonFile `json:"socket"`
		FD     int32    `json:"fd"`
		Index  int      `json:"index"`
		Count  int      `json:"count"`
	}
)

// JSON returns the report as one object.
func (o *StillOpen) JSON() ([]byte, error) {
	r := &o.Receipt
	j := jsonStillOpen{
		Event: o.event(), PID: o.Process.PID, Program: o.Program, Perhaps: o.uncertain(), Fixed: o.Fixed,
		Descriptor: o.File.json(),
		Received:   jsonReceipt{r.Process.PID, r.Thread, r.Call, r.Socket.json(), r.FD, r.Index, r.Count},
	}
	if !utf8.ValidString(o.Program) {
		j.ProgramHex = hex.EncodeToString([]byte(o.Program))
	}
	return json.Marshal(j)
}
