//go:build linux && !purego && !scm_purego

package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// newFileAllowed lists the files that may use os.NewFile, and why. The descriptors of all other code may
// come from a partner, and scm.NewFile keeps dangerous files out of the runtime's poller.
var newFileAllowed = map[string]string{
	"conn.go":    "take calls it for a socket that was checked to be a Unix socket",
	"file.go":    "NewFile and unpolledFile decide there what enters the poller",
	"sockets.go": "receiveSocket calls it for a socket of a family that package net has",

	"proof/bench/others.go":                      "measures what the competitors do",
	"proof/bench/way.go":                         "the program's own sockets and /dev/null",
	"examples/fdstore/fdstore.go":                "a memfd that the program has made",
	"examples/memfd/memfd.go":                    "a memfd that the program has made",
	"examples/mycat/go/mycat/main.go":            "a socketpair that the program has made",
	"examples/pair/parent/main.go":               "a socketpair that the program has made",
	"internal/builtin/net.go":                    "the runner's socket, for net.FileConn",
	"interop/peers/faulty/fault/recv.go":         "a test's peer, which receives only the runner's files",
	"interop/peers/go/libraries/runc/main.go":    "the runner's files, as runc handles them",
	"interop/process/process_linux.go":           "the runner's own files, for a peer",
	"cmd/scm/internal/programs/connect_linux.go": "the listening socket that scm has made for a server",
	"cmd/scm/internal/relay/relay_linux.go":      "a socket that it has created itself",
	"proof/identity/sendfile/main.go":            "the tool's files, as runc handles them",
}

// uses reports whether Go source uses an identifier of a package, under any name of the package.
func uses(source, importPath, identifier string) bool {
	GinkgoHelper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	Expect(err).NotTo(HaveOccurred())
	name := ""
	for _, i := range file.Imports {
		if i.Path.Value != strconv.Quote(importPath) {
			continue
		}
		name = path.Base(importPath)
		if i.Name != nil {
			name = i.Name.Name
		}
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			found = found || ok && id.Name == name && n.Sel.Name == identifier
		case *ast.CallExpr:
			id, ok := n.Fun.(*ast.Ident)
			found = found || ok && name == "." && id.Name == identifier
		}
		return true
	})
	return found
}

// filesUsing returns the Go files in the tree that match and use an identifier of a package.
func filesUsing(importPath, identifier string, match func(name string) bool) (found []string) {
	GinkgoHelper()
	files := 0
	for _, name := range filesBelow(".") {
		name = strings.TrimPrefix(name, "/")
		if filepath.Ext(name) != ".go" || !match(name) {
			continue
		}
		files++
		if uses(contents(name), importPath, identifier) {
			found = append(found, name)
		}
	}
	Expect(files).To(BeNumerically(">", 100))
	return found
}

var _ = Describe("os.NewFile", Label("house"), func() {
	It("is used only for descriptors that cannot come from a partner", func() {
		found := filesUsing("os", "NewFile", func(name string) bool {
			return !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "/testdata/")
		})
		Expect(found).To(ConsistOf(slices.Collect(maps.Keys(newFileAllowed))), "the files of newFileAllowed")
	})

	DescribeTable("is found", func(source string, want bool) {
		Expect(uses("package p\n"+source, "os", "NewFile")).To(Equal(want))
	},
		Entry("in a call", `import "os"; var f = os.NewFile(0, "")`, true),
		Entry("as a value", `import "os"; var f = os.NewFile`, true),
		Entry("under another name", `import system "os"; var f = system.NewFile(0, "")`, true),
		Entry("after a dot import", `import . "os"; var f = NewFile(0, "")`, true),
		Entry("not in a comment", `import "os"; var f = os.Stdin // not os.NewFile`, false),
		Entry("not in another package", `import "scm"; var f = scm.NewFile(0, "")`, false),
		Entry("not in a function of the same name", `import "os"; var f, g = os.Stdin, NewFile(0, "")`, false),
	)
})

var _ = Describe("unix.IoctlGetInt", Label("house"), func() {
	// It reads an int of 8 bytes where the kernel has written 4, so its result is wrong on 64-bit big-endian machines.
	It("is used nowhere, because IoctlGetUint32 is right on all machines", func() {
		Expect(filesUsing("golang.org/x/sys/unix", "IoctlGetInt", func(string) bool { return true })).To(BeEmpty())
	})

	It("is found under the name of its package", func() {
		Expect(uses("package p\nimport \"golang.org/x/sys/unix\"\nvar get = unix.IoctlGetInt", "golang.org/x/sys/unix", "IoctlGetInt")).To(BeTrue())
	})
})

var _ = Describe("unix.Poll", Label("house"), func() {
	// Go's runtime interrupts threads with SIGURG. The kernel never restarts poll, even if it does not wait.
	It("is repeated after EINTR in every file that uses it", func() {
		for _, name := range filesUsing("golang.org/x/sys/unix", "Poll", func(string) bool { return true }) {
			Expect(contents(name)).To(ContainSubstring("EINTR"), name)
		}
	})
})
