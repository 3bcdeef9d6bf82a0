//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func goEnv(arguments ...string) string {
	out, _ := exec.Command(goCommand, append([]string{"env"}, arguments...)...).Output()
	return strings.TrimSpace(string(out))
}

// noCgo is why parts are skipped if the user has turned cgo off.
const noCgo = "CGO_ENABLED=0"

// findCompiler finds out whether C can be compiled. If not, the parts that need it are skipped. But if the user has
// chosen a compiler that does not work, it is an error, because the user wants these parts.
func (r *run) findCompiler() error {
	cc := goEnv("CC")
	if cc == "" {
		return fmt.Errorf("the go command (%s) does not work", goCommand)
	}
	r.noC = ""
	switch {
	case goEnv("CGO_ENABLED") != "0":
	case goEnv("-changed", "CGO_ENABLED") != "":
		r.noC = noCgo
		return nil
	default:
		r.noC = "no C compiler (" + cc + ") in PATH"
		return nil
	}
	build := exec.Command(goCommand, "build", "runtime/cgo") // which cgo needs
	build.SysProcAttr = &unix.SysProcAttr{Setpgid: true}     // so that ctrl-C does not look like a broken compiler
	out, err := build.CombinedOutput()
	if err == nil {
		return nil
	}
	why := strings.TrimPrefix(strings.TrimSpace(string(out)), "# runtime/cgo\n")
	if goEnv("-changed", "CC") != "" {
		return fmt.Errorf("CC=%s does not work: %s", cc, why)
	}
	first, _, _ := strings.Cut(why, "\n")
	r.noC = "the C compiler (" + cc + ") does not work: " + first
	return nil
}

// environ returns the environment for the go command. Without a compiler that works, it would try to use cgo.
func (r *run) environ() []string {
	if r.noC != "" {
		return append(os.Environ(), "CGO_ENABLED=0")
	}
	return os.Environ()
}
