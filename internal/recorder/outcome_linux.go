package recorder

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Outcome reports that a received descriptor was still open when its process ended, or when its
// process had executed another program. The process may have inherited the descriptor from the
// process that received it.
//
// The recorder does not see the calls that open, duplicate and close descriptors. It finds the
// descriptor by its value and its file, or by its file alone if the process has more descriptors for the
// file than just before the receive. If the process has opened the same file again, with the same flags,
// the recorder can mistake that descriptor for the received one. It misses a descriptor that the process
// has moved to another value, if the process has also closed another descriptor for the file that it had
// before the receive. If the descriptor table has more than 512 entries, the recorder does not count the
// other descriptors, and finds a descriptor only at the value with which it was received.
//
// The recorder cannot distinguish anonymous files of one kind, such as two eventfds. It finds the descriptor
// of an anonymous file only at the value with which it was received, and the program may have closed that file
// and created another one there. The same is true of devices that create a file for each open, such as /dev/ptmx.
//
// A file system can use the inode number of a deleted file for another one. The recorder distinguishes the two by the
// time of their creation, if the file system has it, and by their names: the name of a deleted file does not change. A
// file with another name may be the received one, renamed or deleted.
//
// The processes that share a descriptor table have outcomes when the last of them ends. A process that has
// stopped sharing it, with unshare(2) or close_range(2), is still taken for one of them. If it is not the last
// one, it has no outcomes.
type Outcome struct {
	Process *Process
	Exec    bool   // the process has executed a program, and has not ended
	Program string // the path of that program; empty if it is unknown
	File    File
	Receipt Receipt
	// the received descriptor may have been closed, because its file cannot be distinguished from another one
	perhaps bool
}

// Text returns the outcome as a line of text.
func (o *Outcome) Text() string {
	var b []byte
	if o.Exec {
		b = append(b, "exec"...)
		if o.Program != "" {
			b = append(b, ' ')
			b = appendName(b, o.Program)
		}
	} else {
		b = append(b, "exit"...)
	}
	b = append(b, ": "...)
	b = append(b, o.state()...)
	b = append(b, ' ')
	b = o.File.appendText(b)
	r := &o.Receipt
	if r.FD != o.File.FD {
		b = append(b, ", received as "...)
		b = strconv.AppendInt(b, int64(r.FD), 10)
	}
	b = append(b, ", descriptor "...)
	b = strconv.AppendInt(b, int64(r.Index), 10)
	b = append(b, " of "...)
	b = strconv.AppendInt(b, int64(r.Count), 10)
	b = append(b, " from "...)
	b = append(b, r.Call...)
	b = append(b, '(')
	b = r.Socket.appendText(b)
	b = append(b, ')')
	if r.Process != o.Process {
		b = append(b, " of process "...)
		b = strconv.AppendInt(b, int64(r.Process.PID), 10)
	}
	return string(b)
}

// state returns whether the descriptor was open, in words.
func (o *Outcome) state() string {
	state := "still open"
	if o.Exec {
		state = "passed on"
	}
	if o.uncertain() {
		return "perhaps " + state
	}
	return state
}

// uncertain reports whether the received descriptor may have been closed. An anonymous file cannot be distinguished
// from another one of its kind.
func (o *Outcome) uncertain() bool {
	return o.perhaps || o.File.Errno != 0 || strings.HasPrefix(o.File.Name, "anon_inode:")
}

type (
	jsonOutcome struct {
		Event      string      `json:"event"` // "exit" or "exec"
		PID        int         `json:"pid"`
		Program    string      `json:"program,omitempty"`
		ProgramHex string      `json:"program_hex,omitempty"` // the path in hexadecimal, if it is not UTF-8
		Perhaps    bool        `json:"perhaps,omitempty"`     // the received descriptor may have been closed
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

// JSON returns the outcome as one object.
func (o *Outcome) JSON() ([]byte, error) {
	r := &o.Receipt
	j := jsonOutcome{
		Event: "exit", PID: o.Process.PID, Program: o.Program, Perhaps: o.uncertain(), Descriptor: o.File.json(),
		Received: jsonReceipt{r.Process.PID, r.Thread, r.Call, r.Socket.json(), r.FD, r.Index, r.Count},
	}
	if o.Exec {
		j.Event = "exec"
	}
	if !utf8.ValidString(o.Program) {
		j.ProgramHex = hex.EncodeToString([]byte(o.Program))
	}
	return json.Marshal(j)
}
