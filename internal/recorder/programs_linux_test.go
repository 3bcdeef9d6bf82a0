package recorder

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

const peerSources = "../../interop/peers/c"

// compiler returns the C compiler that Go would use.
func compiler(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "CC").Output()
	cc := strings.Fields(string(out))
	if err != nil || len(cc) == 0 {
		fdtest.Missing(t, "go env CC names no C compiler")
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		fdtest.Missing(t, "no C compiler: "+err.Error())
	}
	return cc
}

// peer builds a peer with additional compiler flags.
func peer(t *testing.T, name string, flags ...string) (path string, err error) {
	t.Helper()
	cc := compiler(t)
	sources := []string{"buffers.c", strings.ReplaceAll(name, "-", "_") + ".c"}
	for i := range sources {
		sources[i] = filepath.Join(peerSources, sources[i])
	}
	library, err := filepath.Glob("../../csrc/*.c")
	if err != nil || len(library) == 0 {
		t.Fatal("csrc has no sources")
	}
	path = filepath.Join(t.TempDir(), name)
	args := slices.Concat(cc[1:], []string{"-std=c99", "-D_DEFAULT_SOURCE", "-O1", "-I../../csrc", "-o", path}, flags, sources, library)
	out, err := exec.Command(cc[0], args...).CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return path, err
}
