//go:build linux

package identity

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/proof/must"
	"golang.org/x/sys/unix"
)

// A departure is a row of docs/trust.md. It describes how scm differs from an original, either in
// fields of its system calls or in the outcome of a scene.
//
//	| `sendmsg`, `recvmsg`: `msg_flags`, padding after `msg_flags` | theirs | ours | why |
//	| two descriptors received in a buffer for one | theirs | ours | why |
type departure struct {
	text         string   // the first cell
	fields       []string // written as "call: field"; none if the row describes a scene
	theirs, ours string
}

// sharedHeading is the heading of the rows for all originals that receive without MSG_CMSG_CLOEXEC.
const sharedHeading = "Originals without MSG_CMSG_CLOEXEC"

// departures returns the rows about the original, and the differences that scm diff has to allow. A row for its fields
// in its section replaces a shared row.
func (o *original) departures(root string) (list []*departure, allowed []string) {
	list, allowed = departures(root, o.heading)
	if o.closeOnExec {
		return list, allowed
	}
	own := func(field string) bool {
		return slices.ContainsFunc(list, func(d *departure) bool { return slices.Contains(d.fields, field) })
	}
	shared, lines := departures(root, sharedHeading)
	shared = slices.DeleteFunc(shared, func(d *departure) bool { return slices.ContainsFunc(d.fields, own) })
	lines = slices.DeleteFunc(lines, func(line string) bool { return own(line[:strings.LastIndex(line, ": ")]) })
	return append(shared, list...), append(lines, allowed...)
}

// departures returns the rows of the first table below a heading, and the differences that scm diff has to allow.
func departures(root, heading string) (list []*departure, allowed []string) {
	text := must.Get(os.ReadFile(filepath.Join(root, "docs", "trust.md")))
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		must.Failf("docs/trust.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range allowLine.FindAllStringSubmatch(section, -1) {
		allowed = append(allowed, m[1])
	}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) < 4 {
			if len(list) > 0 {
				break
			}
			continue
		}
		if strings.TrimSpace(cells[0]) == "what differs" {
			continue
		}
		d := &departure{text: strings.TrimSpace(cells[0]), theirs: withoutBackticks(cells[1]), ours: withoutBackticks(cells[2])}
		d.fields = fieldsOf(d.text)
		list = append(list, d)
	}
	if len(list) == 0 {
		must.Failf("section %q of docs/trust.md has no table", heading)
	}
	return list, allowed
}

var allowLine = regexp.MustCompile("(?m)^ *--allow '(.*)'$")

// withoutBackticks returns the text of a cell.
func withoutBackticks(cell string) string {
	return strings.TrimSpace(strings.ReplaceAll(cell, "`", ""))
}

var aboutFields = regexp.MustCompile("^((?:`\\w+`(?:, )?)+): (.+)$")

// fieldsOf returns the fields that a first cell lists, each with its call.
func fieldsOf(cell string) (fields []string) {
	m := aboutFields.FindStringSubmatch(cell)
	if m == nil {
		return nil
	}
	for call := range strings.SplitSeq(withoutBackticks(m[1]), ", ") {
		list := withoutBackticks(m[2])
		for _, field := range append(strings.Split(list, ", "), list) { // the name of one field can contain a comma
			fields = append(fields, call+": "+field)
		}
	}
	return fields
}

// unpredictable lists the texts of cells about bytes that differ from run to run.
var unpredictable = []string{
	"whatever was on the stack",
	"left over from the last message",
	"the cmsg_len for the capacity",
}

// predictable reports whether the row describes fields that have the same values in every run.
func (d *departure) predictable() bool {
	return d.fields != nil && !slices.Contains(unpredictable, d.theirs)
}

// covers reports whether the row is about the field, and whether it describes the difference that was
// found.
func (d *departure) covers(key string, found *recorder.Difference) (about, right bool) {
	if !slices.Contains(d.fields, key) {
		return false, false
	}
	a, b := fieldValue(found.BytesA), fieldValue(found.BytesB)
	switch {
	case d.theirs == "the flags that Linux sets" && d.ours == "the same plus MSG_CMSG_CLOEXEC":
		right = a&unix.MSG_CMSG_CLOEXEC == 0 && b == a|unix.MSG_CMSG_CLOEXEC
	case d.theirs == "CMSG_SPACE for the capacity" && d.ours == "CMSG_LEN for the capacity":
		right = a == unix.CmsgSpace(b-unix.CmsgLen(0))
	default:
		right = describes(d.theirs, found.TextA, found.BytesA) && describes(d.ours, found.TextB, found.BytesB)
	}
	return true, right
}

// describes reports whether a cell describes the value of a field.
func describes(cell, text string, field []byte) bool {
	switch {
	case slices.Contains(unpredictable, cell):
		return true
	case cell == "zero":
		return len(field) > 0 && strings.Trim(string(field), "\x00") == ""
	}
	return cell == strings.ReplaceAll(text, "|", " and ")
}

// fieldValue returns the value of a field as an integer.
func fieldValue(field []byte) int {
	if len(field) == 4 {
		return int(binary.NativeEndian.Uint32(field))
	}
	var word [8]byte
	copy(word[:], field)
	return int(binary.NativeEndian.Uint64(word[:]))
}
