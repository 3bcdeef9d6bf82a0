//go:build linux && !purego && !scm_purego

package repotest

import (
	"os"
	"os/exec"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

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

var _ = It("the suite fails if its filter matches no spec", Label("tree"), func() {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.label-filter=nxi")
	cmd.Dir = "proof/repotest"
	Expect(cmd.Run()).NotTo(Succeed())
})
