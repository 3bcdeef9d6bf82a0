package target

import (
	"os"
	"path/filepath"
	"strings"
)

// Folder returns the folder of the module that has a package, and the path of the package in it. Both root and pkg are
// as seen from the root of the repository, as in "./proof/machine/init".
func Folder(root, pkg string) (dir, path string) {
	if below, ok := strings.CutPrefix(pkg, "./proof"); ok {
		return filepath.Join(root, "proof"), "." + below
	}
	return root, pkg
}

// EnterRoot changes from the folder of this module, in which `go run -C proof` starts a program, to the root of the
// repository. The paths in the programs are relative to the root.
func EnterRoot() error {
	if text, err := os.ReadFile("go.mod"); err == nil && strings.HasPrefix(string(text), "module github.com/scm-rights/scm/proof\n") {
		return os.Chdir("..")
	}
	return nil
}
