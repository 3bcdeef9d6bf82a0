//go:build linux

package identity

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

// A departure is a row of docs/departures.md. It is about fields of calls, or
// about a case.
//
//	| `sendmsg`, `recvmsg`: `msg_flags`, padding after `msg_flags` | theirs | ours | why |
//	| two descriptors received in a buffer for one | theirs | ours | why |
type departure struct {
	text         string // the first cell
	fields       []string
	theirs, ours string
}

// departures are the rows of the first table below a heading.
func departures(root, heading string) ([]*departure, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "departures.md"))
	if err != nil {
		return nil, err
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		return nil, fmt.Errorf("docs/departures.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var list []*departure
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) < 4 {
			if len(list) > 0 {
				break
			}
			continue
		}
		if strings.HasPrefix(cells[0], "| what differs") || strings.TrimSpace(cells[0]) == "what differs" {
			continue
		}
		d := &departure{text: strings.TrimSpace(cells[0]), theirs: bare(cells[1]), ours: bare(cells[2])}
		d.fields = fieldsOf(d.text)
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("section %q of docs/departures.md has no table", heading)
	}
	return list, nil
}

// bare is a cell without its marks.
func bare(cell string) string { return strings.TrimSpace(strings.ReplaceAll(cell, "`", "")) }

var aboutFields = regexp.MustCompile("^((?:`\\w+`(?:, )?)+): (.+)$")

// fieldsOf are the fields that a first cell names, each with its call.
func fieldsOf(cell string) (fields []string) {
	m := aboutFields.FindStringSubmatch(cell)
	if m == nil {
		return nil
	}
	for call := range strings.SplitSeq(bare(m[1]), ", ") {
		for field := range strings.SplitSeq(bare(m[2]), ", ") {
			fields = append(fields, call+": "+field)
		}
	}
	return fields
}

// anything is the text of a cell whose bytes differ from run to run.
var anything = []string{"whatever was on the stack", "left over from the last message", "the cmsg_len for the capacity"}

// covers reports whether the row is about a field, and says of it what was found.
func (d *departure) covers(key string, found *recorder.Difference) (about, right bool) {
	if !slices.Contains(d.fields, key) {
		return false, false
	}
	a, b := number(found.BytesA), number(found.BytesB)
	switch {
	case d.theirs == "the flags that Linux sets" && d.ours == "the same plus MSG_CMSG_CLOEXEC":
		right = a&unix.MSG_CMSG_CLOEXEC == 0 && b == a|unix.MSG_CMSG_CLOEXEC
	case d.theirs == "CMSG_SPACE for the capacity" && d.ours == "CMSG_LEN for the capacity":
		right = a == unix.CmsgSpace(b-unix.CmsgLen(0))
	default:
		right = says(d.theirs, found.TextA, found.BytesA) && says(d.ours, found.TextB, found.BytesB)
	}
	return true, right
}

// says reports whether a cell is what a side said.
func says(cell, text string, field []byte) bool {
	switch {
	case slices.Contains(anything, cell):
		return true
	case cell == "zero", cell == "NULL":
		return len(field) > 0 && strings.Trim(string(field), "\x00") == ""
	case cell == "an address":
		return number(field) != 0
	}
	return cell == strings.ReplaceAll(text, "|", " and ") || cell == strconv.Itoa(number(field))
}

// number is what a field holds.
func number(field []byte) int {
	var word [8]byte
	copy(word[:], field)
	return int(binary.LittleEndian.Uint64(word[:]))
}
