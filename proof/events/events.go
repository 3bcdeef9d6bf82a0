// Package events reads what go test -json prints, as go doc test2json describes it.
package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Test is a test or a subtest. A spec of a Ginkgo suite is a subtest of TestSuite.
type Test struct {
	Package, Name string
	State         string // pass, fail or skip, or run if the test did not end
	Output        string
}

// Read returns the tests in the order in which they began. It returns an error if a package has no result.
func Read(text []byte) (tests []*Test, err error) {
	byName, ended := map[[2]string]*Test{}, map[string]bool{}
	for line := range bytes.Lines(text) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil || e.Package == "" {
			continue // what a compiler prints, such as a warning, belongs to no package, and other lines are not events
		}
		t := byName[[2]string{e.Package, e.Test}]
		switch {
		case e.Test == "":
			ended[e.Package] = ended[e.Package] || e.Action == "pass" || e.Action == "fail" || e.Action == "skip"
		case e.Action == "run":
			t = &Test{Package: e.Package, Name: e.Test, State: e.Action}
			byName[[2]string{e.Package, e.Test}] = t
			tests = append(tests, t)
		case t == nil: // a program that a test runs has printed it
		case e.Action == "output":
			t.Output += e.Output
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			t.State = e.Action
		}
	}
	if len(ended) == 0 {
		return nil, fmt.Errorf("no events of go test -json:\n%s", text)
	}
	for name, has := range ended {
		if !has {
			return tests, fmt.Errorf("package %s has no result", name)
		}
	}
	return tests, nil
}

var planned = regexp.MustCompile(`Will run (\d+) of (\d+) specs`)

// Planned returns how many specs of the suite that the test runs its filter leaves in, and how many there are.
func (t *Test) Planned() (run, all int) {
	if m := planned.FindStringSubmatch(t.Output); m != nil {
		run, _ = strconv.Atoi(m[1])
		all, _ = strconv.Atoi(m[2])
	}
	return run, all
}

var logged = regexp.MustCompile(`(?m)^\S* +\w+\.go:\d+: ((?s).*?)^( *---|=== )`)

// Why returns what the test logged last, such as the reason of a skip.
func (t *Test) Why() string {
	all := logged.FindAllStringSubmatch(t.Output, -1)
	if len(all) == 0 {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(all[len(all)-1][1]), "\n        ", "\n") // as package testing indents it
}
