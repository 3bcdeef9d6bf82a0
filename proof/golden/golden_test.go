//go:build linux && !purego && !scm_purego

package golden

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/scm-rights/scm/proof/mutant"
	machines "github.com/scm-rights/scm/proof/target"
)

// machine returns the target of this machine's own libc.
func machine(t *testing.T) target {
	t.Helper()
	t.Chdir("../..")
	targets := machines.All()
	i := slices.IndexFunc(targets, func(o machines.Target) bool { return o.Arch == runtime.GOARCH && o.Libc == "glibc" })
	if i < 0 {
		t.Skip("no target for " + runtime.GOARCH)
	}
	o := target{targets[i]}
	o.Compiler = []string{"cc"}
	if err := o.build(filepath.Join(t.TempDir(), "golden"), folder+"golden.c", folder+"macros.c"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v, and CI=true", err)
		}
		t.Skip(err)
	}
	return o
}

// In every call, csrc gives the kernel the bytes that the macros make.
func TestCsrc(t *testing.T) {
	o := machine(t)
	calls, err := o.compareCsrc("csrc", filepath.Join(t.TempDir(), "csrc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls", calls)
}

// A fault that affects only one size is found, and the output says at which size.
func TestCsrcMutants(t *testing.T) {
	o := machine(t)
	for _, f := range mutant.By(mutant.Golden) {
		t.Run(f.What, func(t *testing.T) {
			dir := t.TempDir()
			_, err := f.Try(mutant.Golden, ".", t.TempDir(), func(changed *mutant.Overlay) (string, error) {
				if err := os.CopyFS(dir, os.DirFS("csrc")); err != nil {
					return "", err
				}
				for file, replacement := range changed.Replace {
					text, err := os.ReadFile(replacement)
					if err != nil {
						return "", err
					}
					if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
						return "", err
					}
				}
				_, err := o.compareCsrc(dir, filepath.Join(dir, "csrc"))
				if err == nil {
					return "", nil
				}
				return err.Error(), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
