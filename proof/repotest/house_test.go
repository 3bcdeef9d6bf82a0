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

// rule lists what a package may depend on outside the standard library. It does not apply to
// tests. A path that ends in /... matches all packages below it. Only the first rule that
// matches a package applies. Paths without a dot are packages of this module.
type rule struct {
	packages []string
	may      []string
}

const xsys = "golang.org/x/sys/..."

// anything is for programs, which are not imported by other packages.
var anything = []string{"..."}

var rules = []rule{
	{[]string{"."}, []string{"csrc", "internal/pure", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"internal/sys"}, []string{"internal/msg", xsys}},
	{[]string{"internal/msg"}, nil},
	{[]string{"internal/received"}, []string{"internal/msg"}},
	{[]string{"csrc"}, []string{"internal/msg"}},
	{[]string{"internal/pure"}, []string{"internal/msg", "internal/sys", xsys}},
	{[]string{"internal/procfs"}, []string{xsys}},
	{[]string{"internal/fdtest"}, []string{"internal/procfs", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"internal/fusetest", "fdleak"}, []string{"internal/fdtest", "internal/procfs", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"internal/reexec"}, []string{"internal/fdtest", "internal/procfs", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"internal/spectest"}, []string{"internal/reexec", "internal/fdtest", "internal/procfs", "libraries", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"internal/ownthread"}, []string{xsys}},
	{[]string{"internal/recorder"}, []string{"internal/ownthread", "internal/procfs", xsys}},
	{[]string{"handover"}, []string{"wire", "framed", ".", "csrc", "internal/pure", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"handover/httpdrain"}, nil},
	{[]string{"internal/webtest"}, []string{"handover/...", "wire", "framed", ".", "csrc", "internal/pure", "internal/msg", "internal/sys", "internal/received", xsys}},
	{[]string{"fdchannel", "wire", "framed"}, []string{".", "csrc", "internal/pure", "internal/msg", "internal/sys", "internal/received", xsys}},

	// The runner must not use the libraries that it tests.
	{[]string{"interop/report"}, []string{"interop/...", "internal/procfs", "libraries"}},
	{[]string{"interop/peers/go/peer"}, nil},
	{[]string{"interop/peers/go/...", "interop/peers/faulty/..."}, anything},
	{[]string{"interop/display"}, nil},
	{[]string{"interop/contract"}, []string{"interop/display", xsys}},
	{[]string{"interop/kernel"}, []string{"interop/contract", "interop/display", xsys}},
	{[]string{"interop/raw"}, []string{"interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/scenario"}, []string{"interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/fact"}, []string{"interop/scenario", "interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/judge"}, []string{"interop/fact", "interop/scenario", "interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/witness"}, []string{"internal/procfs", "interop/scenario", "interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/kinds"}, []string{"internal/procfs", "interop/witness", "interop/scenario", "interop/kernel", "interop/contract", "interop/display", "interop/raw", xsys}},
	{[]string{"interop/reference"}, []string{"interop/kernel", "interop/contract", "interop/display", "interop/peers/go/peer", "interop/raw", xsys}},
	{[]string{"interop/process"}, []string{"internal/procfs", "interop/reference", "interop/witness", "interop/scenario", "interop/kernel", "interop/contract", "interop/display", "interop/peers/go/peer", "interop/raw", xsys}},
	{[]string{"interop/catalogue"}, []string{"interop/scenario", "interop/kernel", "interop/contract", "interop/display", xsys}},
	{[]string{"interop/..."}, []string{"interop/...", "internal/procfs", xsys}},

	{[]string{"internal/builtin", "cmd/...", "tools/...", "examples/..."}, anything},
}

// A wall says what a house may import of this module. Nothing may import proof.
type wall struct {
	house      string
	in, except []string
	may        []string
}

// walls leave out tests. The rules above are narrower.
var walls = []wall{
	{"library", []string{".", "csrc/...", "wire/...", "framed/...", "fdchannel/...", "fdleak/...", "handover/..."}, nil,
		[]string{".", "csrc/...", "wire/...", "framed/...", "fdchannel/...", "fdleak/...", "handover/...", "internal/..."}},
	// The peers in Go use the libraries that they test.
	{"suite", []string{"interop/..."}, []string{"interop/peers/go/libraries/...", "interop/peers/faulty/..."},
		[]string{"interop/...", "internal/procfs", "internal/ownthread"}},
	{"command's own packages", []string{"cmd/scm/internal/..."}, nil,
		[]string{"cmd/scm/internal/...", "interop/...", "internal/procfs", "internal/ownthread"}},
}

// breaches describes how the packages break the walls.
func breaches(packages []goPackage) (found []string) {
	for _, p := range packages {
		for _, w := range walls {
			if !coveredBy(w.in, p.ImportPath) || coveredBy(w.except, p.ImportPath) {
				continue
			}
			for _, dep := range p.Deps {
				if strings.HasPrefix(dep+"/", module+"/") && !coveredBy(w.may, dep) {
					found = append(found, "the "+w.house+": "+p.ImportPath+" depends on "+dep)
				}
			}
		}
	}
	return found
}

// programs may be imported only by each other.
var programs = []string{"cmd/...", "tools/...", "examples/...", "interop/peers/faulty/...", "internal/builtin"}

// unsafePackages may import unsafe outside their tests. The faulty peer and fusetest are used only by
// tests.
var unsafePackages = []string{"csrc", "internal/pure", "internal/sys", "internal/recorder", "interop/raw", "interop/peers/faulty/fault", "internal/fusetest"}

// covers reports whether a pattern in a rule matches an import path.
func covers(pattern, path string) bool {
	first, _, _ := strings.Cut(path, "/")
	foreign := strings.Contains(first, ".") && path != module && !strings.HasPrefix(path, module+"/")
	if pattern == "libraries" {
		return foreign
	}
	if !foreign {
		path = strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		if path == "" {
			path = "."
		}
	}
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
	standard := map[string]bool{"C": true}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		if p.Standard || !strings.HasPrefix(p.ImportPath+"/", module+"/") {
			continue
		}
		i := slices.IndexFunc(rules, func(r rule) bool { return coveredBy(r.packages, p.ImportPath) })
		if i < 0 {
			found = append(found, p.ImportPath+" has no rule")
			continue
		}
		for _, dep := range p.Deps {
			if !standard[dep] && !coveredBy(rules[i].may, dep) {
				found = append(found, p.ImportPath+" depends on "+dep)
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

var _ = Describe("the house", Label("house"), func() {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"with cgo", []string{"-deps", "./..."}},
		{"under the tag scm_purego", []string{"-deps", "-tags", "scm_purego", "./..."}},
	} {
		It("keeps its import rules "+c.name, func() {
			packages := goTool{env: []string{"CGO_ENABLED=1"}}.list(c.args...)
			Expect(len(packages)).To(BeNumerically(">", 50))
			Expect(violations(packages)).To(BeEmpty())
		})
	}

	It("keeps the walls between the library, the suite and the command, on both backends", func() {
		tool := goTool{env: []string{"CGO_ENABLED=1"}}
		packages := slices.Concat(tool.list("./..."), tool.list("-tags", "scm_purego", "./..."))
		for _, w := range walls {
			Expect(slices.ContainsFunc(packages, func(p goPackage) bool { return coveredBy(w.in, p.ImportPath) })).To(BeTrue(), w.house)
		}
		Expect(breaches(packages)).To(BeEmpty())
		for from, to := range map[string]string{"": "/interop", "/wire": "/cmd/scm/internal/relay", "/handover/httpdrain": "/proof/target",
			"/interop/judge": "/internal/sys", "/interop": "", "/cmd/scm/internal/relay": "/wire"} {
			Expect(breaches([]goPackage{{ImportPath: module + from, Deps: []string{module + to}}})).To(HaveLen(1), from)
		}
		Expect(breaches([]goPackage{{ImportPath: module + "/interop/peers/faulty/fault", Deps: []string{module}}})).To(BeEmpty())
	})

	It("imports nothing of proof, also not in tests", func() {
		imports := regexp.MustCompile(`"` + module + `/proof[/"]`)
		files := 0
		for _, name := range filesBelow(".") {
			if filepath.Ext(name) == ".go" && !strings.HasPrefix(name, "proof/") {
				files++
				Expect(contents(name)).NotTo(MatchRegexp(imports.String()), name)
			}
		}
		Expect(files).To(BeNumerically(">", 300))
		Expect(`import "` + module + `/proof/target"`).To(MatchRegexp(imports.String()))
	})

	It("keeps judging out of the files that converse and observe", func() {
		for _, name := range []string{"interop/talk_linux.go", "interop/observe_linux.go"} {
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
		for _, name := range filesBelow(".") {
			if filepath.Ext(name) != ".go" {
				continue
			}
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
			{goPackage{ImportPath: module + "/interop", Deps: []string{module}}, "interop depends on " + module},
			{goPackage{ImportPath: module + "/interop", Deps: []string{"github.com/spf13/cobra"}}, "depends on github.com/spf13/cobra"},
			{goPackage{ImportPath: module + "/interop/contract", Deps: []string{module + "/interop/scenario"}}, "interop/contract depends on " + module + "/interop/scenario"},
			{goPackage{ImportPath: module + "/internal/sys", Deps: []string{module + "/internal/procfs"}}, "internal/sys depends on " + module + "/internal/procfs"},
			{goPackage{ImportPath: module, Deps: []string{"golang.org/x/net"}}, "depends on golang.org/x/net"},
			{goPackage{ImportPath: module + "/tools/x", Deps: []string{module + "/cmd/scm"}}, "imports a command, " + module + "/cmd/scm"},
			{goPackage{ImportPath: module, Imports: []string{"unsafe"}}, "imports unsafe"},
			{goPackage{ImportPath: module, CgoFiles: []string{"scm.go"}}, `imports "C"`},
			{goPackage{ImportPath: module + "/internal/new"}, "has no rule"},
		} {
			Expect(violations([]goPackage{c.p})).To(ConsistOf(HaveSuffix(c.want)), "%+v", c.p)
		}
	})

	It("has no built program", func() {
		for _, name := range filesBelow(".") {
			name = strings.TrimPrefix(name, "/")
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
		for _, name := range filesBelow(".") {
			name = strings.TrimPrefix(name, "/")
			if dir := filepath.Dir(name); filepath.Base(name) == "go.mod" && dir != "." {
				modules = append(modules, dir)
			}
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
		Expect(contents("README.md")).To(ContainSubstring("The library and the command `scm` need Go " + library[1] + " or newer."))
		// scmvet needs no newer version than the programs that it checks.
		Expect(contents("cmd/scmvet/go.mod")).To(ContainSubstring("\ngo " + library[1] + ".0\n"))
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
