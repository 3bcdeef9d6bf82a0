//go:build linux && !purego && !scm_purego

package repotest

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A rule lists what packages may import outside the standard library, except in tests. A pattern that ends in /...
// covers all packages below it, and one without a dot those of this module. Only the first rule that covers a package
// applies.
type rule struct {
	packages []string
	may      []string
}

const xsys = "golang.org/x/sys/..."

// anything is for programs, which are not imported by other packages.
var anything = []string{"..."}

// The library imports nothing of the suite, and the suite, which must not use what it tests, nothing of the library.
// Nothing imports proof.
var rules = []rule{
	{[]string{"."}, []string{"csrc", "internal/pure", "internal/msg", "internal/sys", "internal/received"}},
	{[]string{"csrc", "internal/received"}, []string{"internal/msg"}},
	{[]string{"internal/sys"}, []string{"internal/msg", xsys}},
	{[]string{"internal/pure"}, []string{"internal/msg", "internal/sys", xsys}},
	{[]string{"internal/ccheck", "internal/msg", "interop/display", "interop/junit", "interop/peers/go/peer"}, nil},
	{[]string{"internal/procfs", "internal/ownthread", "internal/ringtest"}, []string{xsys}},
	{[]string{"internal/fdtest"}, []string{"internal/procfs", "internal/sys", "internal/received", xsys}},
	{[]string{"fdleak"}, []string{"internal/fdtest", "internal/procfs", xsys}},
	{[]string{"internal/reexec"}, []string{"internal/fdtest", xsys}},
	{[]string{"internal/fusetest"}, []string{"internal/fdtest", "internal/ringtest", xsys}},
	{[]string{"internal/spectest"}, []string{"internal/reexec", "internal/fdtest", "interop/display", "libraries"}},
	{[]string{"internal/recorder"}, []string{"internal/ownthread", "internal/procfs", xsys}},
	{[]string{"handover"}, []string{"wire", "framed", ".", "internal/sys", xsys}},
	{[]string{"handover/httpdrain"}, []string{"handover", xsys}},
	{[]string{"internal/webtest"}, []string{"handover/..."}},
	{[]string{"fdchannel", "wire", "framed"}, []string{".", "internal/sys", xsys}},

	{[]string{"interoptest"}, []string{"interop", "interop/...", "internal/builtin", "internal/libcases", xsys}},
	{[]string{"internal/libcases"}, []string{"interop/..."}},

	{[]string{"interop/peers/go/...", "interop/peers/faulty/..."}, anything},
	{[]string{"interop/expected"}, []string{"interop/display"}},
	{[]string{"interop/contract", "interop/peers"}, []string{"interop/display", xsys}},
	{[]string{"interop/kernel", "interop/peers/peertest"}, []string{"interop/contract"}},
	{[]string{"interop/raw"}, []string{"interop/kernel", xsys}},
	{[]string{"interop/scenario"}, []string{"interop/expected", "interop/kernel", "interop/contract", "interop/display"}},
	{[]string{"interop/fact"}, []string{"interop/scenario"}},
	{[]string{"interop/judge"}, []string{"interop/fact", "interop/scenario", "interop/kernel", "interop/contract"}},
	{[]string{"interop/witness"}, []string{"internal/procfs", "interop/expected", "interop/scenario", xsys}},
	{[]string{"interop/kinds"}, []string{"internal/procfs", "interop/witness", "interop/scenario", "interop/raw", xsys}},
	{[]string{"interop/reference"}, []string{"interop/kernel", "interop/contract", "interop/peers/go/peer", "interop/raw", xsys}},
	{[]string{"interop/process"}, []string{"internal/procfs", "interop/reference", "interop/witness", "interop/scenario", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/catalogue"}, []string{"interop/expected", "interop/scenario", "interop/display"}},
	{[]string{"interop/..."}, []string{"interop/...", "internal/procfs", xsys}},

	{[]string{"cmd/scm/internal/programs"}, []string{"interop/expected", "interop/display", "interop/junit", "interop/raw", "interop/witness", "internal/procfs", xsys}},
	{[]string{"cmd/scm/internal/programs/testserver"}, []string{"interop/raw", "internal/ownthread", "internal/ringtest", xsys}},
	{[]string{"cmd/scm/internal/cli"}, []string{"interop/display", "libraries"}},
	{[]string{"cmd/scm/internal/socketcmd"}, []string{"cmd/scm/internal/cli", ".", "wire", "internal/sys", "interop/display", "libraries"}},
	{[]string{"cmd/scm/internal/tracecmd"}, []string{"cmd/scm/internal/cli", "internal/recorder", "interop/display", "libraries"}},
	{[]string{"cmd/scm/internal/programcmd"}, []string{"cmd/scm/internal/cli", "cmd/scm/internal/programs", "internal/procfs", "interop/...", "libraries"}},
	{[]string{"cmd/scm/internal/suitecmd"}, []string{"cmd/scm/internal/cli", "cmd/scm/internal/tracecmd", ".", "internal/builtin", "internal/procfs", "internal/recorder", "interop/...", "libraries"}},
	{[]string{"internal/builtin", "cmd/...", "tools/...", "examples/..."}, anything},
}

// programs, and a package for tests that has them inside, may be imported only by each other.
var programs = []string{"cmd/...", "tools/...", "examples/...", "interop/peers/faulty/...", "internal/builtin", "interoptest"}

// unsafePackages may import unsafe outside their tests. Packages fusetest and ringtest are used only by tests.
var unsafePackages = []string{
	"csrc", "internal/pure", "internal/sys", "internal/recorder", "interop/raw", "internal/fusetest", "internal/ringtest",
}

// isStandard reports whether a package is of the standard library.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// covers reports whether a pattern in a rule matches an import path.
func covers(pattern, path string) bool {
	if pattern == "libraries" {
		return !isStandard(path) && !strings.HasPrefix(path+"/", module+"/")
	}
	if path == module {
		path = "."
	}
	path = strings.TrimPrefix(path, module+"/")
	if below, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(path+"/", below)
	}
	return path == pattern
}

func coveredBy(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, path) })
}

// violations describes how the packages break the rules.
func violations(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		i := slices.IndexFunc(rules, func(r rule) bool { return coveredBy(r.packages, p.ImportPath) })
		if i < 0 {
			found = append(found, p.ImportPath+" has no rule")
			continue
		}
		for _, dep := range p.Imports {
			if !isStandard(dep) && !coveredBy(rules[i].may, dep) {
				found = append(found, p.ImportPath+" imports "+dep)
			}
			if coveredBy(programs, dep) && !coveredBy(programs, p.ImportPath) {
				found = append(found, p.ImportPath+" imports a program, "+dep)
			}
			if covers("cmd/...", dep) && !covers("cmd/...", p.ImportPath) {
				found = append(found, p.ImportPath+" imports a command, "+dep)
			}
		}
		if slices.Contains(p.Imports, "unsafe") && !coveredBy(unsafePackages, p.ImportPath) {
			found = append(found, p.ImportPath+" imports unsafe")
		}
		if len(p.CgoFiles) > 0 && !covers("csrc", p.ImportPath) {
			found = append(found, p.ImportPath+` imports "C"`)
		}
	}
	return found
}

var _ = Describe("the tree", Label("tree"), func() {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"with cgo", []string{"./..."}},
		{"under the tag scm_purego", []string{"-tags", "scm_purego", "./..."}},
	} {
		It("keeps its import rules "+c.name, func() {
			packages := goTool{env: []string{"CGO_ENABLED=1"}}.list(c.args...)
			Expect(len(packages)).To(BeNumerically(">", 50))
			Expect(violations(packages)).To(BeEmpty())
		})
	}

	It("imports nothing of proof, also not in tests", func() {
		imports := regexp.MustCompile(`"` + module + `/proof[/"]`)
		files := 0
		for _, name := range treeFiles(".go") {
			if !strings.HasPrefix(name, "proof/") {
				files++
				Expect(contents(name)).NotTo(MatchRegexp(imports.String()), name)
			}
		}
		Expect(files).To(BeNumerically(">", 300))
		Expect(`import "` + module + `/proof/target"`).To(MatchRegexp(imports.String()))
	})

	It("runs its suites with spectest.Run, so that go test knows the specs", func() {
		runs := regexp.MustCompile(`\bRunSpecs\(`)
		Expect(treeFiles(".go")).To(ContainElement("suite_test.go"))
		for _, name := range treeFiles(".go") {
			if name != "internal/spectest/run.go" && name != "proof/repotest/imports_test.go" {
				Expect(contents(name)).NotTo(MatchRegexp(runs.String()), name)
			}
		}
	})

	It("keeps judging out of the files that converse and observe", func() {
		for _, name := range []string{"interop/side_linux.go", "interop/observe_linux.go"} {
			Expect(contents(name)).NotTo(MatchRegexp(`interop/judge"|\bjudge\.`), name)
			Expect(contents(name)).To(ContainSubstring("interop/fact"), name)
		}
	})

	// Its tests then need no processes, no /proc and no time.
	It("keeps input, output and waiting out of package judge", func() {
		outside := regexp.MustCompile(`^(os|net|syscall|io/ioutil|golang\.org/x/sys)(/|$)|/interop/display$`)
		waits := regexp.MustCompile(`\btime\.(Sleep|After|AfterFunc|Tick|NewTimer|NewTicker)\b`)
		for _, p := range (goTool{}).list("./interop/judge") {
			Expect(p.Imports).NotTo(ContainElement(MatchRegexp(outside.String())))
		}
		for _, name := range filesBelow("interop/judge") {
			Expect(contents("interop/judge"+name)).NotTo(MatchRegexp(waits.String()), name)
		}
	})

	// A program must get the same backend with either tag, in every file.
	It("names the tags scm_purego and purego together in every build constraint", func() {
		both := strings.NewReplacer("!purego && !scm_purego", "", "purego || scm_purego", "")
		tagged := 0
		for _, name := range treeFiles(".go") {
			for _, line := range regexp.MustCompile(`(?m)^//go:build .*purego.*$`).FindAllString(contents(name), -1) {
				Expect(both.Replace(line)).NotTo(ContainSubstring("purego"), name)
				tagged++
			}
		}
		Expect(tagged).To(BeNumerically(">", 4))
	})

	It("detects a broken import rule", func() {
		for _, c := range []struct {
			p    goPackage
			want string
		}{
			{goPackage{ImportPath: module, Imports: []string{module + "/interop"}}, "imports " + module + "/interop"},
			{goPackage{ImportPath: module + "/wire", Imports: []string{module + "/interop/raw"}}, "wire imports " + module + "/interop/raw"},
			{goPackage{ImportPath: module + "/handover/httpdrain", Imports: []string{module + "/proof/target"}}, "imports " + module + "/proof/target"},
			{goPackage{ImportPath: module + "/interop", Imports: []string{module}}, "interop imports " + module},
			{goPackage{ImportPath: module + "/interop", Imports: []string{"github.com/spf13/cobra"}}, "imports github.com/spf13/cobra"},
			{goPackage{ImportPath: module + "/interop/contract", Imports: []string{module + "/interop/scenario"}}, "interop/contract imports " + module + "/interop/scenario"},
			{goPackage{ImportPath: module + "/interop/judge", Imports: []string{module + "/internal/sys"}}, "interop/judge imports " + module + "/internal/sys"},
			{goPackage{ImportPath: module + "/internal/sys", Imports: []string{module + "/internal/procfs"}}, "internal/sys imports " + module + "/internal/procfs"},
			{goPackage{ImportPath: module + "/cmd/scm/internal/programs", Imports: []string{module + "/wire"}}, "programs imports " + module + "/wire"},
			{goPackage{ImportPath: module + "/cmd/scm/internal/socketcmd", Imports: []string{module + "/cmd/scm/internal/suitecmd"}}, "imports " + module + "/cmd/scm/internal/suitecmd"},
			{goPackage{ImportPath: module, Imports: []string{"golang.org/x/net"}}, "imports golang.org/x/net"},
			{goPackage{ImportPath: module + "/tools/x", Imports: []string{module + "/cmd/scm"}}, "imports a command, " + module + "/cmd/scm"},
			{goPackage{ImportPath: module, Imports: []string{"unsafe"}}, "imports unsafe"},
			{goPackage{ImportPath: module, CgoFiles: []string{"scm.go"}}, `imports "C"`},
			{goPackage{ImportPath: module + "/interoptest", Imports: []string{module + "/wire"}}, "interoptest imports " + module + "/wire"},
			{goPackage{ImportPath: module + "/internal/new"}, "has no rule"},
		} {
			Expect(violations([]goPackage{c.p})).To(ConsistOf(HaveSuffix(c.want)), "%+v", c.p)
		}
	})

	It("has no built program", func() {
		for _, name := range filesBelow(".") {
			Expect(contents(name)).NotTo(HavePrefix("\x7fELF"), name)
		}
	})

	// If gcc is in PATH, cgo is enabled for Windows too, where csrc does not build.
	DescribeTable("does not depend on csrc on systems where every call returns ErrUnsupported, even if cgo is enabled:",
		func(goos, goarch string) {
			packages := goTool{env: []string{"CGO_ENABLED=1", "GOOS=" + goos, "GOARCH=" + goarch}}.list("./...")
			Expect(len(packages)).To(BeNumerically(">", 20))
			var needing []string
			for _, p := range packages {
				if slices.Contains(p.Deps, module+"/csrc") {
					needing = append(needing, p.ImportPath)
				}
			}
			Expect(needing).To(BeEmpty())
		},
		Entry(nil, "windows", "amd64"),
		Entry(nil, "js", "wasm"),
		Entry(nil, "wasip1", "wasm"),
		Entry(nil, "plan9", "amd64"),
	)

	It("lets Dependabot update every side module, and never the versions that importers get", func() {
		listed := regexp.MustCompile(`(?m)^      - /(\S*)$`)
		var modules, updated []string
		for _, name := range treeFiles("/go.mod") {
			modules = append(modules, filepath.Dir(name))
		}
		for _, dir := range listed.FindAllStringSubmatch(contents(".github/dependabot.yml"), -1) {
			updated = append(updated, dir[1])
		}
		Expect(len(modules)).To(And(BeNumerically(">", 2), BeNumerically("<=", 6)), "modules other than the root")
		Expect(updated).To(ConsistOf(modules))
	})

	It("needs the version of Go that README.md names, and so does scmvet", func() {
		goLine := regexp.MustCompile(`(?m)^go (\S+)$`)
		library := goLine.FindStringSubmatch(contents("go.mod"))
		Expect(library).To(HaveLen(2))
		Expect(contents("README.md")).To(ContainSubstring("with Go " + strings.TrimSuffix(library[1], ".0") + " or newer"))
		// scmvet needs no newer version than the programs that it checks.
		Expect(contents("cmd/scmvet/go.mod")).To(ContainSubstring("\ngo " + library[1] + "\n"))
	})

	It("requires few modules directly", func() {
		var gomod struct {
			Require []struct {
				Path     string
				Indirect bool
			}
		}
		Expect(json.Unmarshal([]byte(goTool{}.must("mod", "edit", "-json")), &gomod)).To(Succeed())
		var direct []string
		for _, r := range gomod.Require {
			if !r.Indirect {
				direct = append(direct, r.Path)
			}
		}
		Expect(direct).To(ConsistOf("golang.org/x/sys", "github.com/onsi/ginkgo/v2", "github.com/onsi/gomega", "github.com/spf13/cobra"))
	})
})
