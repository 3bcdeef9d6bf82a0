//go:build linux

package foreign

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/scm-rights/scm/internal/target"
)

func TestCompilerIsGivenNoDevice(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	// One script is both tools: its last argument is the output.
	script := "#!/bin/sh\nfor out; do :; done\ntest ! -c \"$out\" && : >\"$out\"\n"
	for _, name := range []string{"cc", "strace"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("TMPDIR", tmp)
	if err := (platform{target.Target{Arch: runtime.GOARCH, Compiler: []string{"cc"}}}).tools(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
