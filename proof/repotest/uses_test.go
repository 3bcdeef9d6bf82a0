//go:build linux && !purego && !scm_purego

package repotest

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

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

// filesCalling returns the Go files in the tree that match and call a function, outside of comments.
func filesCalling(function string, match func(name string) bool) []string {
	GinkgoHelper()
	call := regexp.MustCompile(`(?m)^[^/\n]*\b` + regexp.QuoteMeta(function) + `\(`)
	files := slices.DeleteFunc(treeFiles(".go"), func(name string) bool { return !match(name) })
	Expect(len(files)).To(BeNumerically(">", 100))
	return slices.DeleteFunc(files, func(name string) bool { return !call.MatchString(contents(name)) })
}

var _ = Describe("os.NewFile", Label("tree"), func() {
	It("is used only for descriptors that cannot come from a partner", func() {
		found := filesCalling("os.NewFile", func(name string) bool {
			return !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "/testdata/")
		})
		Expect(found).To(ConsistOf(newFileAllowed), "the files of newFileAllowed")
	})
})

var _ = Describe("unix.IoctlGetInt", Label("tree"), func() {
	// It reads an int of 8 bytes where the kernel has written 4, so its result is wrong on 64-bit big-endian machines.
	It("is used nowhere, because IoctlGetUint32 is right on all machines", func() {
		Expect(filesCalling("unix.IoctlGetInt", func(string) bool { return true })).To(BeEmpty())
	})
})

var _ = Describe("unix.Poll", Label("tree"), func() {
	// Go's runtime interrupts threads with SIGURG. The kernel never restarts poll, even if it does not wait.
	It("is repeated after EINTR in every file that uses it", func() {
		for _, name := range filesCalling("unix.Poll", func(string) bool { return true }) {
			Expect(contents(name)).To(ContainSubstring("EINTR"), name)
		}
	})
})

var _ = Describe("a socket in a test", Label("tree"), func() {
	// It finds a path that is joined at once, which is how they were written.
	It("is not in t.TempDir, whose name can be too long, but in fdtest.ShortDir", func() {
		joined := regexp.MustCompile(`\bt\.TempDir\(\)(, |\+)"/?(s|sock|socket|notify|listener|receiver)\b.*`)
		for _, name := range treeFiles("_test.go") {
			if !strings.HasPrefix(name, "proof/") {
				Expect(joined.FindString(contents(name))).To(BeEmpty(), name)
			}
		}
	})
})

var _ = Describe("a test", Label("tree"), func() {
	It("says why it is skipped", func() {
		silent := regexp.MustCompile(`(?m)^\s*([\w.()]+\.)?Skip(Now\(|\(""\)|\(\)).*`)
		for _, name := range treeFiles(".go") {
			Expect(silent.FindString(contents(name))).To(BeEmpty(), name)
		}
	})
})

var _ = Describe("a comment", Label("tree"), func() {
	// Pages show the code of examples, and the comments of others are their output.
	It("is at most 120 columns wide", func() {
		for _, name := range treeFiles(".go") {
			example := strings.HasPrefix(name, "examples/") || strings.HasPrefix(filepath.Base(name), "example_")
			if strings.Contains(name, "/testdata/") || example {
				continue
			}
			for line := range strings.Lines(contents(name)) {
				line = strings.ReplaceAll(strings.TrimSpace(line), "\t", "    ")
				if strings.HasPrefix(line, "//") {
					Expect(utf8.RuneCountInString(line)).To(BeNumerically("<=", 120), "%s: %s", name, line)
				}
			}
		}
	})
})
