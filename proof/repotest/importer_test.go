//go:build linux && !purego && !scm_purego

package repotest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

// These specs look at what the go command does to a module that imports scm.

// importer is a module with requirements of its own that imports scm.
type importer struct{ goTool }

func newImporter(goLine, requirements string, files map[string]string) importer {
	GinkgoHelper()
	m := importer{goTool{dir: GinkgoT().TempDir(), env: []string{"GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local"}}}
	m.writeFiles(files)
	m.writeFiles(map[string]string{"go.mod": "module example.org/importer\n\ngo " + goLine + "\n\n" + requirements})
	return m
}

// tidy runs go mod tidy, and skips the spec if the modules cannot be downloaded.
func (m importer) tidy() {
	GinkgoHelper()
	if _, stderr, err := m.run("mod", "tidy"); err != nil {
		fdtest.Missing(GinkgoTB(), "Go modules", "the modules cannot be downloaded: "+strings.TrimSpace(stderr))
	}
}

// addImports adds scm's packages to the module.
func (m importer) addImports(packages ...string) {
	GinkgoHelper()
	text := "package main\n\n"
	for _, p := range packages {
		text += "import _ " + strconv.Quote(p) + "\n"
	}
	m.writeFiles(map[string]string{"scm.go": text})
	m.must("mod", "edit", "-require="+module+"@v0.0.0", "-replace="+module+"="+ok(os.Getwd()))
	m.tidy()
}

// file returns the lines of a file of the module, without its indentation and the lines of its syntax.
func (m importer) file(name string) (lines []string) {
	GinkgoHelper()
	for line := range strings.Lines(contents(filepath.Join(m.dir, name))) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
		if line != "" && line != "(" && line != ")" {
			lines = append(lines, line)
		}
	}
	return lines
}

// versions returns the selected version of every module in the build list.
func (m importer) versions() map[string]string {
	GinkgoHelper()
	selected := map[string]string{}
	for line := range strings.Lines(m.must("list", "-m", "-f", "{{.Path}} {{.Version}}", "all")) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		selected[path] = version
	}
	return selected
}

// added returns the elements of after that before lacks.
func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(before, line) })
}

// publicPackages are the packages that programs of other modules may use. Two more are for their tests.
func publicPackages() []string {
	GinkgoHelper()
	private := regexp.MustCompile("^" + module + "/(cmd|csrc|examples|internal|interop|interoptest|proof|tools)(/|$)")
	return slices.DeleteFunc(strings.Fields(goTool{}.must("list", "./...")), private.MatchString)
}

// publicFolders are the folders of these packages, for the go command.
func publicFolders() (folders []string) {
	GinkgoHelper()
	for _, path := range publicPackages() {
		folders = append(folders, "."+strings.TrimPrefix(path, module))
	}
	return folders
}

// oldRequirements are the requirements of a module that was last updated when Go 1.22 was new.
const oldRequirements = `require (
	github.com/spf13/cobra v1.9.1
	github.com/stretchr/testify v1.8.4
	golang.org/x/mod v0.17.0
	golang.org/x/net v0.24.0
	golang.org/x/text v0.14.0
	golang.org/x/tools v0.20.0
)
`

var oldProgram = map[string]string{
	"main.go": `package main

import (
	_ "github.com/spf13/cobra"
	_ "golang.org/x/mod/semver"
	_ "golang.org/x/net/idna"
	_ "golang.org/x/text/language"
	_ "golang.org/x/tools/go/packages"
)

func main() {}
`,
	"main_test.go": "package main\n\nimport _ \"github.com/stretchr/testify/assert\"\n",
}

var _ = Describe("a module that imports scm", Label("build"), func() {
	DescribeTable("keeps every version that it requires, except those of golang.org/x",
		func(requirements string, files map[string]string, gained string, lost ...string) {
			m := newImporter("1.24.0", oldRequirements+requirements, oldProgram)
			m.writeFiles(files)
			m.tidy()
			gomod, before := m.file("go.mod"), m.versions()
			Expect(before["golang.org/x/sys"]).NotTo(BeEmpty())
			m.addImports(publicPackages()...)

			after := m.versions()
			Expect(after).To(HaveKeyWithValue(module, "v0.0.0"))
			for path, version := range before {
				if !strings.HasPrefix(path, "golang.org/x/") {
					Expect(after).To(HaveKeyWithValue(path, version))
				}
			}
			Expect(contents("docs/migrating.md")).To(ContainSubstring("nothing newer than x/net %s, x/text %s and x/tools %s.",
				after["golang.org/x/net"], after["golang.org/x/text"], after["golang.org/x/tools"]))

			now := m.file("go.mod")
			Expect(added(gomod, now)).To(ContainElement(gained))
			Expect(added(now, gomod)).To(And(ContainElements(lost), HaveEach(HavePrefix("golang.org/x/"))))
			others := slices.DeleteFunc(added(gomod, now), func(line string) bool { return strings.HasPrefix(line, "golang.org/x/") })
			Expect(others).To(ConsistOf(module+" v0.0.0", "replace "+module+" => "+ok(os.Getwd())))
		},
		Entry("which is added to go.mod", "", nil, "golang.org/x/sys v0.36.0 // indirect"),
		Entry("which is raised in go.mod", "require golang.org/x/sys v0.19.0\n",
			map[string]string{"sys.go": "package main\n\nimport _ \"golang.org/x/sys/unix\"\n"}, "golang.org/x/sys v0.36.0", "golang.org/x/sys v0.19.0"),
	)

	It("gains only scm and x/sys if it has a test with interoptest, and a module that uses it gains nothing", func() {
		test := ""
		for _, block := range fenced.FindAllStringSubmatch(contents("docs/testing-a-library.md"), -1) {
			if block[1] == "go" && strings.HasPrefix(block[2], "package") {
				test += strings.Replace(block[2], "example.org/mine", "example.org/importer", 1)
			}
		}
		m := newImporter("1.24.0", "", map[string]string{"interop_linux_test.go": test, "mine.go": `package mine

func Send(sock int, p []byte, fds []int) (int, error)              { return 0, nil }
func Recv(sock int, p []byte, room int) (n int, fds []int, e error) { return 0, nil, nil }
`})
		local := []string{"mod", "edit", "-require=" + module + "@v0.0.0", "-replace=" + module + "=" + ok(os.Getwd())}
		m.must(local...)
		m.tidy()
		m.must("vet", ".")
		Expect(m.file("go.mod")).To(ConsistOf("module example.org/importer", "go 1.24.0", module+" v0.0.0",
			"golang.org/x/sys v0.36.0 // indirect", "replace "+module+" => "+ok(os.Getwd())))

		user := newImporter("1.24.0", "", map[string]string{"main.go": "package main\n\nimport _ \"example.org/importer\"\n\nfunc main() {}\n"})
		user.must("mod", "edit", "-module=example.org/user", "-require=example.org/importer@v0.0.0", "-replace=example.org/importer="+m.dir, local[3])
		before := user.file("go.mod")
		user.tidy()
		Expect(user.file("go.mod")).To(ConsistOf(before))
	})
})
