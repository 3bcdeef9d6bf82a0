//go:build linux

// Package fuzz contains the fuzz targets for csrc, which make proof-fuzz runs with those in Go.
package fuzz

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// TestCorpus runs the inputs in testdata/fuzz, as go test does for a target in Go.
func TestCorpus(t *testing.T) {
	fdtest.Program(t, "gcc")
	for _, target := range []string{"scm_take", "read_fd", "scm_rights_recv"} {
		t.Run(target, func(t *testing.T) {
			inputs, err := filepath.Glob("testdata/fuzz/" + target + "/*")
			if err != nil || len(inputs) == 0 {
				t.Fatalf("no inputs: %v", err)
			}
			program := filepath.Join(t.TempDir(), target)
			out, err := exec.Command("gcc", "-std=c99", "-D_GNU_SOURCE", "-I../../csrc", "-g", "-fsanitize=address,undefined",
				"-fno-sanitize-recover=all", "-DREPLAY", `-DTARGET="`+target+`"`, "testdata/fuzz.c", "-o", program).CombinedOutput()
			if err == nil {
				out, err = exec.Command(program, inputs...).CombinedOutput()
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
