//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestPartnerInC(t *testing.T) {
	cc := fdtest.Program(t, "cc")
	partner := filepath.Join(t.TempDir(), "partner")
	library, _ := filepath.Glob("../../csrc/*.c")
	args := append([]string{"-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I../../csrc", "-o", partner, "c/partner.c"}, library...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("build the partner: %v\n%s", err, out)
	}
	program.Start(t, program.Command(partner, "hello")).Prints(t, "HELLO\n")
}
