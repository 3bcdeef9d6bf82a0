// Package driver is what the drivers in the machines of `make proof-systemd` share with each other and with the host:
// the plan of a directory of checks, and the lines in which a driver prints the results.
//
// A directory has the unit files that are added to the machine (units/), a driver, which is the main package in the
// directory itself, and plan.txt. In the machine, the driver is / and the name of the directory. units/drive.service.d/
// has a drop-in file that starts it. The lines of plan.txt are these:
//
//	program PACKAGE        another program of the machine; its path there is / and its name
//	quick VERSION CHECK    a check that CI runs
//	full VERSION CHECK     another check
//
// VERSION is the version of systemd that introduced the feature that the check needs, or 0 if all versions in the table
// have it (https://github.com/systemd/systemd/blob/main/NEWS). The checks run in this order. Lines that begin with #
// are comments.
package driver

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/proof/must"
)

// A Plan is the content of plan.txt.
type Plan struct {
	Programs []string
	Checks   []Check
}

// A Check is a check of a Plan.
type Check struct {
	Name  string
	Since int
	Quick bool
}

// ParsePlan parses the text of the file plan.txt.
func ParsePlan(file string, text []byte) (plan Plan) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
		case "program":
			plan.Programs = append(plan.Programs, strings.TrimSpace(rest))
		case "quick", "full":
			version, name, _ := strings.Cut(strings.TrimSpace(rest), " ")
			since, err := strconv.Atoi(version)
			if err != nil || strings.TrimSpace(name) == "" {
				must.Failf("%s: %q has no version or no name", file, line)
			}
			plan.Checks = append(plan.Checks, Check{strings.TrimSpace(name), since, kind == "quick"})
		default:
			must.Failf("%s: unknown word %q", file, kind)
		}
	}
	return plan
}

// Verify fails unless the plan in the file has exactly these checks.
func Verify(file string, checks map[string]func()) {
	var names []string
	for _, c := range ParsePlan(file, must.Get(os.ReadFile(file))).Checks {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(checks)); !slices.Equal(got, names) {
		must.Failf("the driver has the checks %q, but %s has %q", got, file, names)
	}
}
