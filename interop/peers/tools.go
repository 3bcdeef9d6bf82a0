package peers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// findTool looks for an entry of Needs: a tool, "NAME" or "NAME OLDEST"; a module of a tool,
// "NAME:MODULE"; or a file, by its path. It returns the name of the tool and the command that
// runs it, or an error that says why the tool cannot be used. The tool cc is the C compiler that
// cgo uses, so that the same compiler builds all C code.
func findTool(ctx context.Context, need string) (name, command string, err error) {
	name, oldest, _ := strings.Cut(need, " ")
	name, module, _ := strings.Cut(name, ":")
	if strings.HasPrefix(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return name, "", fmt.Errorf("no %s", name)
		}
		return name, name, nil
	}
	if name == "cc" {
		cc := compiler(ctx)
		if _, err := exec.LookPath(strings.Fields(cc)[0]); err != nil {
			return name, "", fmt.Errorf("no C compiler (%s) in PATH", cc)
		}
		return name, cc, nil
	}
	if command, err = exec.LookPath(name); err != nil {
		return name, "", fmt.Errorf("no %s in PATH", name)
	}
	if itself := argumentsOf(name, func(l language) map[string][]string { return l.Itself }); itself != nil {
		if path, err := exec.CommandContext(ctx, command, itself...).Output(); err == nil {
			command = strings.TrimSpace(string(path))
		}
	}
	if module != "" {
		load := replacements{"module": module}.expand(argumentsOf(name, func(l language) map[string][]string { return l.Modules }))
		if text, err := exec.CommandContext(ctx, command, load...).CombinedOutput(); err != nil {
			return name, "", fmt.Errorf("%s has no %s: %s", name, module, lastLine(text))
		}
	}
	if oldest == "" {
		return name, command, nil
	}
	text, err := exec.CommandContext(ctx, command, "--version").CombinedOutput()
	if err != nil {
		return name, "", fmt.Errorf("%s --version: %w: %s", name, err, lastLine(text))
	}
	if version := versionIn(string(text)); slices.Compare(versionParts(version), versionParts(oldest)) < 0 {
		return name, "", fmt.Errorf("%s %s is older than %s", name, version, oldest)
	}
	return name, command, nil
}

// toolName names what an entry of Needs asks for.
func toolName(need string) string {
	if need == "cc" {
		return "C compiler"
	}
	return strings.ReplaceAll(need, ":", " ")
}

// argumentsOf returns the arguments of a tool in the table of the language that has it there.
func argumentsOf(tool string, table func(language) map[string][]string) []string {
	for _, l := range readRecords() {
		if arguments := table(l)[tool]; arguments != nil {
			return arguments
		}
	}
	return nil
}

// A Missing is a tool that a group of tools/setup installs, and that cannot be used.
type Missing struct {
	Need     string // as in the record of its language
	Packages string // of Debian
}

// FindMissing returns the missing tools that the builds of a group need: "interop" or "test", which includes the
// others. The group "lint" has the tools of the linters. Tools without a package are left out.
func FindMissing(ctx context.Context, group string) (list []Missing, err error) {
	seen := map[string]bool{}
	for _, l := range readRecords() {
		var needs []string
		for _, b := range l.Builds {
			if group == "test" || b.Setup == group {
				needs = append(needs, b.Needs...)
			}
		}
		if group == "lint" {
			needs = l.Lint.Needs
		}
		for _, need := range needs {
			if l.Packages[need] == "" || seen[need] {
				continue
			}
			seen[need] = true
			if _, _, err := findTool(ctx, need); err != nil {
				list = append(list, Missing{need, l.Packages[need]})
			}
		}
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("no language needs tools from the group %q", group)
	}
	return list, nil
}

// compiler returns the value of CC, or the compiler that go uses if CC is not set.
func compiler(ctx context.Context) string {
	cc := os.Getenv("CC")
	if strings.TrimSpace(cc) == "" {
		out, _ := exec.CommandContext(ctx, "go", "env", "CC").Output()
		cc = string(out)
	}
	return cmp.Or(strings.TrimSpace(cc), "cc")
}

var (
	dottedRE = regexp.MustCompile(`\d+(\.\d+)+`)
	plainRE  = regexp.MustCompile(`\b\d+`)
)

// versionIn returns the first number in text that contains a dot. If no number contains a dot, it
// returns the first number. For example, the version in "openjdk 21 2023-09-19" is 21.
func versionIn(text string) string {
	return cmp.Or(dottedRE.FindString(text), plainRE.FindString(text))
}

// versionParts returns the numbers in a dotted version.
func versionParts(version string) (list []int) {
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // part consists of digits
		list = append(list, n)
	}
	return list
}
