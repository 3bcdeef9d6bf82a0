//go:build linux && !purego && !scm_purego

package repotest

import (
	"os"
	"testing"

	. "github.com/scm-rights/scm/internal/spectest"
)

// TestMain runs the specs in the root folder of the repository, because their paths are relative to it.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestSuite(t *testing.T) {
	Run(t, "the repository")
}
