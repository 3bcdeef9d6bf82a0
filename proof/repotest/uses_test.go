//go:build linux && !purego && !scm_purego

package repotest

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// newFileAllowed lists the files that may use os.NewFile. The descriptors of all other code may come from a partner,
// and scm.NewFile keeps dangerous files out of the runtime's poller.
var newFileAllowed = []string{
	// The library has examined the descriptor.
	"conn.go", "file.go", "sockets.go",

	// The descriptor is the program's own or, in a peer, the runner's.
	"cmd/scm/internal/programs/target_linux.go",
	"cmd/scm/internal/programs/testserver/testserver_linux.go",
	"examples/fdstore/fdstore.go",
	"examples/memfd/memfd.go",
	"examples/mycat/go/mycat/main.go",
	"examples/pair/parent/main.go",
	"internal/builtin/net.go",
	"interop/peers/faulty/fault/recv.go",
	"interop/peers/go/libraries/runc/main.go",
	"interop/process/process_linux.go",
	"interoptest/interoptest_linux.go",
	"proof/bench/others.go",
	"proof/bench/way.go",
	"proof/identity/sendfile/main.go",
}

var _ = Describe("os.NewFile", Label("tree"), func() {
	It("is used only for descriptors that cannot come from a partner", func() {
		call := regexp.MustCompile(`(?m)^[^/\n]*\bos\.NewFile\(`)
		var found []string
		for _, name := range treeFiles(".go") {
			if !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "/testdata/") && call.MatchString(contents(name)) {
				found = append(found, name)
			}
		}
		Expect(found).To(ConsistOf(newFileAllowed), "the files of newFileAllowed")
	})
})
