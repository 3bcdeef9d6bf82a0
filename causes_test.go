//go:build linux

package scm_test

import (
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
)

// This stranger does not make the descriptors that it receives close-on-exec.
var _ = Child("stranger", func([]string) { peer.Main(fault.Library("mine", fault.All()["cloexec"])) })

// runWithStranger runs the specs of the group basics with the stranger in another process, which cannot build the other
// partners, and returns what it prints.
func runWithStranger(expected string) string {
	GinkgoHelper()
	if why := opponents[scenario.RunnerName].Why; why != "" {
		Skip(why)
	}
	dir := GinkgoT().TempDir()
	list, file := filepath.Join(dir, "list.json"), filepath.Join(dir, "expected.txt")
	Expect(peers.WriteList(list, []peers.Built{{Name: "mine", Command: reexec.CommandLine("stranger")}})).To(Succeed())
	Expect(os.WriteFile(file, []byte(expected), 0o600)).To(Succeed())
	suite := exec.Command("/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.no-color", "-ginkgo.label-filter=mine", "-ginkgo.focus= basics/")
	suite.Env = append(os.Environ(), "CI=true", "CC=no-such-compiler", peers.PartnersVariable+"="+list, expectVariable+"="+file)
	out, _ := suite.CombinedOutput()
	return string(out)
}

var _ = DescribeTable("a stranger in the list is a partner", func(expected, result string) {
	Expect(runWithStranger(expected)).To(ContainSubstring(result))
},
	Entry("whose faults are found", "", "cloexec@mine: a received descriptor"),
	Entry("and may have expected failures", "** cloexec@mine planted\n", "| 0 Failed |"),
	Entry("and a line about no peer is an error", "** cloexec@mien planted\n", `did you mean "mine"?`),
)
