package driver

import (
	"fmt"
	"strings"
)

// Passed is the result of a check that passed. Any other result, except for that of Judge, describes a failure.
const Passed = "ok"

// Lacked begins the result of Judge if the version of systemd is too old for the check.
const Lacked = "not in systemd "

// marked returns what follows the mark in each line of the console that contains it.
func marked(console, mark string) (list []string) {
	for line := range strings.Lines(console) {
		// The line may begin with something that systemd printed without a newline.
		if _, rest, found := strings.Cut(strings.TrimRight(line, "\r\n"), mark); found {
			list = append(list, rest)
		}
	}
	return list
}

// Versions returns the versions of systemd that the console reports.
func Versions(console string) []string { return marked(console, versionMark) }

// Notes returns the notes on the console.
func Notes(console string) []string { return marked(console, noteMark) }

// Judge returns the result of the check on the console of a machine with this version of systemd.
func (c Check) Judge(version int, console string) string {
	list := marked(console, checkMark+c.Name+": ")
	switch {
	case len(list) != 1:
		return fmt.Sprintf("%d results, want 1", len(list))
	case version < c.Since && list[0] == ErrAbsent.Error():
		return fmt.Sprintf("%s%d (introduced in %d)", Lacked, version, c.Since)
	case version < c.Since && list[0] == Passed:
		return fmt.Sprintf("works, although it was introduced in systemd %d", c.Since)
	}
	return list[0]
}
