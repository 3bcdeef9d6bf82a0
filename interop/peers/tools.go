package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// find looks for a tool, "NAME" or "NAME OLDEST", for a module of one, "NAME:MODULE", or for
// a library's file, by its path. It returns the tool's name and what runs it, or why it will not
// do. The tool cc is the C compiler that cgo uses, so that all C comes from one.
func find(ctx context.Context, need string) (name, command, why string) {
	name, oldest, _ := strings.Cut(need, " ")
	if strings.HasPrefix(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return name, "", "no " + name
		}
		return name, name, ""
	}
	if name == "cc" {
		cc := compiler(ctx)
		if _, err := exec.LookPath(strings.Fields(cc)[0]); err != nil {
			return name, "", fmt.Sprintf("no C compiler (%s) in PATH", cc)
		}
		return name, cc, ""
	}
	name, module, _ := strings.Cut(name, ":")
	command, err := exec.LookPath(name)
	if err != nil {
		return name, "", fmt.Sprintf("no %s in PATH", name)
	}
	if module != "" {
		loads := places{"module": module}.expand(embedded().Modules[name])
		if text, err := exec.CommandContext(ctx, command, loads...).CombinedOutput(); err != nil {
			return name, "", fmt.Sprintf("%s has no %s: %s", name, module, lastLine(text))
		}
	}
	if oldest == "" {
		return name, command, ""
	}
	text, err := exec.CommandContext(ctx, command, "--version").CombinedOutput()
	if err != nil {
		return name, "", fmt.Sprintf("%s --version: %v: %s", name, err, lastLine(text))
	}
	if version := versionIn(string(text)); older(version, oldest) {
		return name, "", fmt.Sprintf("%s %s is older than %s", name, version, oldest)
	}
	return name, command, ""
}

// compiler is CC, or what go says when that is not set.
func compiler(ctx context.Context) string {
	cc := strings.TrimSpace(os.Getenv("CC"))
	if cc == "" {
		out, _ := exec.CommandContext(ctx, "go", "env", "CC").Output()
		cc = strings.TrimSpace(string(out))
	}
	if cc == "" {
		return "cc"
	}
	return cc
}

var (
	dottedRE = regexp.MustCompile(`\d+(\.\d+)+`)
	plainRE  = regexp.MustCompile(`\b\d+`)
)

// versionIn is the first number with a dot in it, or else the first: a new Java is "openjdk 21 2023-09-19".
func versionIn(text string) string {
	if version := dottedRE.FindString(text); version != "" {
		return version
	}
	return plainRE.FindString(text)
}

// older compares dotted numbers.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range bs {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if y, _ = strconv.Atoi(bs[i]); x != y {
			return x < y
		}
	}
	return false
}
