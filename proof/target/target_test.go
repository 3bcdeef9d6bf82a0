//go:build unix

package target

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCompilerIsGivenNoDevice(t *testing.T) {
	cc, tmp := filepath.Join(t.TempDir(), "cc"), t.TempDir()
	script := "#!/bin/sh\nfor out; do :; done\ntest ! -c \"$out\" && : >\"$out\"\n"
	if err := os.WriteFile(cc, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	if err := Compiles(cc); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v; want nothing", left, err)
	}
}
