//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// A program is a record of programs.txt, which describes the keys.
type program struct {
	Name, Version, Setup, Poke, Fault string
	Needs                             [][2]string // commands and their packages
	Accept                            []string
	Check                             bool
}

// parse reads the records.
func parse(text string) (list []program, err error) {
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if key == "program" {
			list = append(list, program{Name: value})
			continue
		}
		if len(list) == 0 || value == "" {
			return nil, fmt.Errorf("line %d: a record begins with program, and each key has a value", i+1)
		}
		p := &list[len(list)-1]
		field := map[string]*string{"version": &p.Version, "setup": &p.Setup, "poke": &p.Poke, "fault": &p.Fault}[key]
		switch {
		case field != nil:
			*field = value
		case key == "accept":
			p.Accept = append(p.Accept, value)
		case key == "check" && value == "yes":
			p.Check = true
		case key == "needs" && len(strings.Fields(value)) == 2:
			p.Needs = append(p.Needs, [2]string(strings.Fields(value)))
		default:
			return nil, fmt.Errorf("line %d: unknown %q", i+1, line)
		}
	}
	for _, p := range list {
		switch {
		case p.Version == "" || p.Needs == nil || p.Poke == "":
			return nil, fmt.Errorf("%s: needs, version or poke is missing", p.Name)
		case (p.Fault != "") != slices.ContainsFunc(p.Accept, isFinding):
			return nil, fmt.Errorf("%s: a fault needs lines to accept it, and an accepted finding a fault", p.Name)
		}
	}
	if !slices.IsSortedFunc(list, func(a, b program) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) }) {
		return nil, fmt.Errorf("the programs are not in alphabetical order")
	}
	return list, nil
}

// isFinding reports whether a line accepts a finding, and not that an item has no verdict.
func isFinding(line string) bool { return !strings.Contains(line, " unread@") }
