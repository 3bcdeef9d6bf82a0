//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A departure is a row of docs/departures.md. It is about fields of calls, or
// about a case.
//
//	| `sendmsg`, `recvmsg`: `msg_flags`, padding after `msg_flags` | theirs | ours | why |
//	| two came in the room for one | theirs | ours | why |
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

// anything is what a side says whose bytes are not the same each time.
var anything = []string{"what was on the stack", "what the last message left", "the cmsg_len of the room"}

// covers tells whether the row is about a field, and says of it what was found.
func (d *departure) covers(key string, found difference) (about, right bool) {
	if !slices.Contains(d.fields, key) {
		return false, false
	}
	switch {
	case slices.Contains(anything, d.theirs):
		right = d.ours == found.b || d.ours == "zero" && strings.Trim(found.b, "0…") == ""
	case d.theirs == "what came" && d.ours == "that and MSG_CMSG_CLOEXEC":
		right = found.b == found.a+" and MSG_CMSG_CLOEXEC" || found.a == "0" && found.b == "MSG_CMSG_CLOEXEC"
	case d.theirs == "CMSG_SPACE of the room" && d.ours == "CMSG_LEN of the room":
		a, errA := strconv.Atoi(found.a)
		b, errB := strconv.Atoi(found.b)
		right = errA == nil && errB == nil && a == layoutOf(runtime.GOARCH).align(b)
	default:
		right = d.theirs == found.a && d.ours == found.b
	}
	return true, right
}
