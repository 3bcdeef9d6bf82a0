//go:build linux && !purego && !scm_purego

package repotest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
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

var systemSuffix = regexp.MustCompile(`_(aix|darwin|freebsd|illumos|linux|netbsd|openbsd|plan9|solaris|unix|windows|amd64|arm64|386)\.go$`)

// builtOnSomeSystems reports whether a file of package scm is built only on some systems. It ignores the two backends.
func builtOnSomeSystems(name, text string) bool {
	head, _, _ := strings.Cut(text, "package scm")
	return !slices.Contains([]string{"scm_cgo.go", "scm_purego.go"}, name) &&
		!strings.Contains(name, "/") && (systemSuffix.MatchString(name) || strings.Contains(head, "//go:build"))
}

// hasInit reports whether a file has an init function.
func hasInit(name, text string) bool {
	// golangci-lint has no other way to find a plugin.
	return strings.Contains("\n"+text, "\nfunc init() {") && name != "cmd/scmvet/plugin/plugin.go"
}

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

// unused lists what the rules permit although no package depends on it.
func unused(packages []goPackage) (found []string) {
	used := map[string]bool{}
	for _, p := range packages {
		i := slices.IndexFunc(rules, func(r rule) bool { return coveredBy(r.packages, p.ImportPath) })
		if i < 0 || p.Standard {
			continue
		}
		for _, may := range rules[i].may {
			if slices.ContainsFunc(p.Deps, func(dep string) bool { return covers(may, dep) }) {
				used[rules[i].packages[0]+" may depend on "+may] = true
			}
		}
	}
	for _, r := range rules {
		for _, may := range r.may {
			if permission := r.packages[0] + " may depend on " + may; !used[permission] {
				found = append(found, permission)
			}
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

	It("has no import rule that permits what no package uses", func() {
		tool := goTool{env: []string{"CGO_ENABLED=1"}}
		packages := slices.Concat(tool.list("-deps", "./..."), tool.list("-deps", "-tags", "scm_purego", "./..."))
		Expect(unused(packages)).To(BeEmpty())
		Expect(unused(packages[:0])).To(ContainElement("interop/contract may depend on interop/display"))
	})

	It("uses Ginkgo in the suites that CONTRIBUTING.md lists, and nowhere else", func() {
		list := regexp.MustCompile("The suites of package (.*) use Ginkgo").FindStringSubmatch(contents("CONTRIBUTING.md"))
		Expect(list).To(HaveLen(2))
		var want []string
		for _, name := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(list[1], -1) {
			want = append(want, strings.Replace(name[1], "scm", ".", 1))
		}
		var found []string
		for _, name := range filesBelow(".") {
			if strings.HasSuffix(name, "_test.go") && strings.Contains(contents(name), `. "github.com/onsi/ginkgo/v2"`) {
				found = append(found, filepath.Dir(name))
			}
		}
		slices.Sort(found)
		Expect(slices.Compact(found)).To(ConsistOf(want))
	})

	It("keeps judging out of the files that converse and observe", func() {
		for _, name := range []string{"interop/talk_linux.go", "interop/observe_linux.go"} {
			Expect(contents(name)).NotTo(MatchRegexp(`interop/judge"|\bjudge\.`), name)
			Expect(contents(name)).To(ContainSubstring("interop/fact"), name)
		}
	})

	// A type with more methods does several jobs.
	It("has no type with more than 30 methods in package interop", func() {
		methods := map[string]int{}
		files, err := filepath.Glob("interop/*.go")
		Expect(err).NotTo(HaveOccurred())
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, m := range regexp.MustCompile(`(?m)^func \((?:\w+ )?\*?(\w+)\) `).FindAllStringSubmatch(contents(name), -1) {
				methods[m[1]]++
			}
		}
		Expect(methods).To(HaveKeyWithValue("caseRun", BeNumerically(">", 10)))
		for name, n := range methods {
			Expect(n).To(BeNumerically("<=", 30), name)
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
		for _, path := range []string{"os", "os/exec", "net", "syscall", "golang.org/x/sys/unix", module + "/interop/display"} {
			Expect(path).To(MatchRegexp(outside.String()))
		}
		Expect("errors").NotTo(MatchRegexp(outside.String()))
		Expect("time.Sleep(1)").To(MatchRegexp(waits.String()))
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
			{goPackage{ImportPath: module + "/interop/raw", Deps: []string{module + "/csrc"}}, "depends on " + module + "/csrc"},
			{goPackage{ImportPath: module + "/interop", Deps: []string{"github.com/spf13/cobra"}}, "depends on github.com/spf13/cobra"},
			{goPackage{ImportPath: module + "/interop/contract", Deps: []string{module + "/interop/scenario"}}, "interop/contract depends on " + module + "/interop/scenario"},
			{goPackage{ImportPath: module + "/interop/contract", Deps: []string{module + "/interop/kernel"}}, "interop/contract depends on " + module + "/interop/kernel"},
			{goPackage{ImportPath: module + "/interop/scenario", Deps: []string{module + "/interop/witness"}}, "interop/scenario depends on " + module + "/interop/witness"},
			{goPackage{ImportPath: module + "/interop/judge", Deps: []string{module + "/interop/witness"}}, "interop/judge depends on " + module + "/interop/witness"},
			{goPackage{ImportPath: module + "/interop/witness", Deps: []string{module + "/interop/process"}}, "interop/witness depends on " + module + "/interop/process"},
			{goPackage{ImportPath: module + "/interop/report", Deps: []string{module}}, "depends on " + module},
			{goPackage{ImportPath: module + "/interop/witness", Deps: []string{module + "/internal/fdtest"}}, "interop/witness depends on " + module + "/internal/fdtest"},
			{goPackage{ImportPath: module + "/interop/scenario", Deps: []string{module + "/internal/procfs"}}, "interop/scenario depends on " + module + "/internal/procfs"},
			{goPackage{ImportPath: module + "/internal/sys", Deps: []string{module + "/internal/procfs"}}, "internal/sys depends on " + module + "/internal/procfs"},
			{goPackage{ImportPath: module, Deps: []string{"golang.org/x/net"}}, "depends on golang.org/x/net"},
			{goPackage{ImportPath: module + "/csrc", Deps: []string{"golang.org/x/sys/unix"}}, "depends on golang.org/x/sys/unix"},
			{goPackage{ImportPath: module + "/tools/x", Deps: []string{module + "/cmd/scm"}}, "imports a command, " + module + "/cmd/scm"},
			{goPackage{ImportPath: module, Imports: []string{"unsafe"}}, "imports unsafe"},
			{goPackage{ImportPath: module, CgoFiles: []string{"scm.go"}}, `imports "C"`},
			{goPackage{ImportPath: module + "/internal/new"}, "has no rule"},
		} {
			Expect(violations([]goPackage{c.p})).To(ConsistOf(HaveSuffix(c.want)), "%+v", c.p)
		}
	})

	DescribeTable("has no file outside of tests that", func(is func(name, text string) bool, such, others map[string]string) {
		var found []string
		files := 0
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				continue
			}
			if files++; is(name, contents(name)) {
				found = append(found, name)
			}
		}
		Expect(files).To(BeNumerically(">", 100))
		Expect(found).To(BeEmpty())
		for name, text := range such {
			Expect(is(name, text)).To(BeTrue(), name)
		}
		for name, text := range others {
			Expect(is(name, text)).To(BeFalse(), name)
		}
	},
		Entry("depends on the operating system instead of calling internal/sys", builtOnSomeSystems,
			map[string]string{"a_linux.go": "package scm", "b.go": "//go:build unix\n\npackage scm"},
			map[string]string{"scm_cgo.go": "//go:build cgo\n\npackage scm", "d.go": "package scm\n\n//go:build is no constraint here"}),
		Entry("has an init function", hasInit,
			map[string]string{"a.go": "package a\n\nfunc init() { b() }"},
			map[string]string{"b.go": "package a\n\nfunc initial() {", "cmd/scmvet/plugin/plugin.go": "package plugin\n\nfunc init() { b() }"}),
	)

	It("names the same packages for other programs in each list", func() {
		want := strings.Join(publicFolders(), " ")
		Expect(want).To(HavePrefix(". ./fdchannel "))
		for file, list := range map[string]string{
			"Makefile":                 `(?m)^LIBRARY := (.*)$`,
			".github/workflows/ci.yml": `(?m)go test (?:-timeout 30m )?(\. .*?)(?: -run Example)?(?: &&.*)?$`,
			architecture:               `go list -deps (\. .*) -->`,
			"docs/dependencies.md":     `go list -deps -f '[^']*' (\. .*) \| sort`,
		} {
			lists := regexp.MustCompile(list).FindAllStringSubmatch(contents(file), -1)
			Expect(lists).NotTo(BeEmpty(), file)
			for _, l := range lists {
				Expect(l[1]).To(Equal(want), file)
			}
		}
	})

	It("names the Debian release of CI in CONTRIBUTING.md", func() {
		release := regexp.MustCompile(`image: debian:(\d+)`).FindStringSubmatch(contents(".github/workflows/ci.yml"))
		Expect(release).To(HaveLen(2))
		Expect(contents("CONTRIBUTING.md")).To(ContainSubstring(" Debian " + release[1] + ")"))
	})

	// Without cgo, Go's runtime ends a process in which every goroutine waits, but not always.
	It("has no process that waits in an empty select", func() {
		for _, name := range filesBelow(".") {
			if strings.HasSuffix(name, ".go") {
				Expect(contents(strings.TrimPrefix(name, "/"))).NotTo(MatchRegexp(`(?m)^\s*select \{\}`), name)
			}
		}
	})

	It("has no built program", func() {
		for _, name := range filesBelow(".") {
			name = strings.TrimPrefix(name, "/")
			Expect(contents(name)).NotTo(HavePrefix("\x7fELF"), name)
		}
	})

	It("has suites that print why specs were skipped", func() {
		suites := 0
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); !strings.HasSuffix(name, "_test.go") {
				continue
			}
			if text := contents(name); strings.Contains(text, "\n\tRunSpecs(") {
				suites++
				Expect(text).To(ContainSubstring("PrintSkips(r"), name)
			}
		}
		Expect(suites).To(BeNumerically(">", 4))
	})

	It("has no test that starts make in its own environment", func() {
		starts := regexp.MustCompile(`\([^{\n]*"make",`)
		files := 0
		for _, name := range filesBelow(".") {
			if text := contents(strings.TrimPrefix(name, "/")); filepath.Ext(name) == ".go" && starts.MatchString(text) {
				files++
				Expect(text).To(MatchRegexp(`fdtest\.WithoutMake\(|makeEnvironment\(|newcomer\(`), name)
			}
		}
		Expect(files).To(BeNumerically(">", 4))
	})

	DescribeTable("lists every target of make with the time that it takes, and every variable", func(file, command string, most int) {
		cmd := exec.Command("make", command+"help")
		cmd.Env = makeEnvironment()
		help := string(ok(cmd.Output()))
		makefile := contents(file)
		targets := regexp.MustCompile(`(?m)^([a-z-]+):.*## (.*)$`).FindAllStringSubmatch(makefile, -1)
		Expect(len(targets)).To(And(BeNumerically(">", 10), BeNumerically("<=", most)))
		for _, m := range targets {
			time, text, _ := strings.Cut(m[2], ": ")
			Expect(time).To(BeElementOf("seconds", "minutes", "tens of minutes"), m[1])
			Expect(help).To(MatchRegexp(`(?m)^make %s +%s +%s$`, command+m[1], time, regexp.QuoteMeta(text)))
		}
		variables := regexp.MustCompile(`(?m)^([A-Z_]+) \?=`).FindAllStringSubmatch(makefile, -1)
		Expect(len(variables)).To(BeNumerically(">", 5))
		for _, m := range variables {
			Expect(append(fdtest.MakeVariables, "CI")).To(ContainElement(m[1]), "tests that start make would pass it on")
			Expect(help).To(MatchRegexp(`(?m)^  .*\b%s\b`, m[1]))
		}
	},
		Entry("in the root", "Makefile", "", 13), // and proof-%
		Entry("in proof", "proof/Makefile", "proof-", 15),
	)

	It("runs the last steps of .ci/run at the same time, and prints the output of each as a whole", func() {
		dir := GinkgoT().TempDir()
		Expect(os.MkdirAll(dir+"/.ci", 0o700)).To(Succeed())
		Expect(os.WriteFile(dir+"/.ci/run", []byte(contents(".ci/run")), 0o700)).To(Succeed())
		// Each of these steps waits for the others. One of them fails.
		Expect(os.WriteFile(dir+"/make", []byte(`#!/bin/bash
case $1 in
test) mkdir -p build/test; for b in cgo purego; do printf 'x\nspecs over %s with nix: 107\n' $b >build/test/$b.log; done ;;
proof-test) echo '    identity_test.go:32: identical: 0 differential calls, 0 bytes differ' >build/test/proof.log ;;
esac
case $1 in proof-systemd | proof-bench | proof-survey | proof-kernels) ;; *) exit 0 ;; esac
echo "$1 begins"
: >"started $1"
for _ in {1..300}; do
	started=(started*)
	[ ${#started[@]} -lt 4 ] || break
	sleep 0.1
done
echo "$1 ends, ${#started[@]} started"
[ "$1" != proof-bench ]
`), 0o700)).To(Succeed())
		Expect(os.WriteFile(dir+"/go", []byte("#!/bin/sh\nexit 1\n"), 0o700)).To(Succeed())
		cmd := exec.Command(dir + "/.ci/run")
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		Expect(err).To(HaveOccurred())
		for _, step := range []string{"proof-systemd", "proof-bench", "proof-survey", "proof-kernels"} {
			Expect(string(out)).To(ContainSubstring("== make %s\n%[1]s begins\n%[1]s ends, 4 started\n", step))
		}
		Expect(string(out)).To(ContainSubstring("\nspecs over cgo with nix: 107\nspecs over purego with nix: 107\nidentical: 0 differential calls, 0 bytes differ\n"))
		Expect(string(out)).To(MatchRegexp(`(?m)^proof-release +[0-9]+ s  ok\nproof-systemd +[0-9]+ s  ok\nproof-bench +[0-9]+ s  FAILED\nproof-survey +[0-9]+ s  ok\nproof-kernels +[0-9]+ s  ok\nall `))
		Expect(string(out)).To(HaveSuffix("\n0 passed, 2 failed, 0 skipped\n"))
	})

	It("runs the pure-Go tests as an unprivileged user with the programs that make test has built, and without a compiler", func() {
		if os.Getuid() != 0 {
			Skip("it needs root")
		}
		if out, err := exec.Command("git", "rev-parse", "HEAD").CombinedOutput(); err != nil {
			Skip("not a git checkout: " + strings.TrimSpace(string(out)))
		}
		dir := GinkgoT().TempDir() // only root may search it
		Expect(os.Chmod(dir, 0o700)).To(Succeed())
		Expect(os.WriteFile(dir+"/partner", []byte("#!/bin/sh\nid -un\n"), 0o700)).To(Succeed())
		Expect(os.WriteFile(dir+"/list.json", []byte(`[{"name": "x", "command": ["`+dir+`/partner", "interop"]}]`), 0o600)).To(Succeed())
		bin := linked("bash", "cat", "chmod", "chown", "cp", "dirname", "env", "find", "git", "go", "grep", "id", "ln", "mkdir", "mktemp", "rm", "sed", "setpriv", "sh", "sort", "tar", "tr", "xargs")
		Expect(os.Chmod(bin, 0o755)).To(Succeed())
		for _, compiler := range []string{"cc", "x86_64-linux-gnu-gcc-14", "cargo", "rustc"} {
			Expect(os.Symlink("/bin/true", bin+"/"+compiler)).To(Succeed())
		}
		cmd := exec.Command("tools/as-user.sh", "sh", "-ec", `cat "$SCM_PARTNERS"; $(grep -o '/[^"]*' "$SCM_PARTNERS"); ! command -v cc x86_64-linux-gnu-gcc-14 cargo rustc`)
		cmd.Env = append(fdtest.WithoutMake(), "PATH="+bin, "GOCACHE="+GinkgoT().TempDir(), "SCM_PARTNERS="+dir+"/list.json")
		Expect(output(cmd)).To(MatchRegexp(`^\[\{"name": "x", "command": \["/[^"]*/partners/partner", "interop"\]\}\]nobody\n$`))
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

	It("requires the same Go version in all side modules but scmvet's, and README.md names this version and the library's", func() {
		goLine := regexp.MustCompile(`(?m)^go (\S+)$`)
		versions := map[string]string{}
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); filepath.Base(name) == "go.mod" {
				line := goLine.FindStringSubmatch(contents(name))
				Expect(line).To(HaveLen(2), name)
				versions[filepath.Dir(name)] = line[1]
			}
		}
		library, side := versions["."], versions["proof"]
		// scmvet needs no newer version than the programs that it checks.
		Expect(versions["cmd/scmvet"]).To(Equal(library + ".0"))
		delete(versions, ".")
		delete(versions, "cmd/scmvet")
		Expect(len(versions)).To(BeNumerically(">=", 4))
		for dir, version := range versions {
			Expect(version).To(Equal(side), "%s/go.mod and proof/go.mod", dir)
		}
		readme := contents("README.md")
		Expect(readme).To(ContainSubstring("The library and the command `scm` need Go " + library + " or newer."))
		Expect(readme).To(ContainSubstring("need Go " + side + " or newer"))
		for _, page := range []string{"docs/migrating.md", "docs/dependencies.md"} {
			Expect(contents(page)).To(ContainSubstring(library), page)
		}
	})

	DescribeTable("skips the side modules in make test if Go is too old for them, unless CI=true", func(target, part string) {
		if _, err := exec.LookPath("make"); err != nil {
			Skip(err.Error())
		}
		dir := GinkgoT().TempDir()
		tool := filepath.Join(dir, "go")
		Expect(os.WriteFile(tool, []byte("#!/bin/sh\n[ \"$1\" = -C ] || exec go \"$@\"\n"+
			"echo 'go: go.mod requires go >= 1.99 (running go 1.98)' >&2\nexit 1\n"), 0o700)).To(Succeed())
		test := func(ci string) (string, error) {
			cmd := exec.Command("make", target, "GO="+tool, "RESULTS="+dir, "CI="+ci)
			cmd.Env = fdtest.WithoutMake()
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := test("")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("skip: " + part + ": go: go.mod requires go >= 1.99 (running go 1.98)\n"))
		out, err = test("true")
		Expect(err).To(HaveOccurred(), out)
	},
		Entry(nil, "test-modules", "cmd/scmvet"),
		Entry(nil, "check-house", "house"),
		Entry(nil, "check-lint", "lint"),
	)

	DescribeTable("chooses the first Debian package that is new enough,", func(versions, want string) {
		if _, err := exec.LookPath("dpkg"); err != nil {
			Skip("not Debian")
		}
		bin := linked("bash", "dirname", "dpkg", "mktemp", "paste", "rm", "sed", "sh", "tr")
		for name, script := range map[string]string{
			"apt-cache": "case $2 in " + versions + " *) v='(none)';; esac; printf \"$2:\\n  Candidate: $v\\n\"",
			"apt-get":   ":",
			"go":        "[ $1 != run ] || printf 'cargo 1.85\\tcargo-web|cargo\\n'",
			"id":        "echo 1000",
		} {
			Expect(os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700)).To(Succeed())
		}
		cmd := exec.Command(filepath.Join(bin, "bash"), "tools/setup", "interop")
		cmd.Env = append(fdtest.WithoutMake(), "PATH="+bin)
		out := output(cmd)
		Expect(out).To(MatchRegexp(`(?m)^setup: missing: .*, cargo 1\.85$`))
		Expect(out).To(MatchRegexp(`(?m)^setup: not root; root would run: apt-get .* pkg-config` + want + "$"))
	},
		Entry("as on Debian 12", "cargo-web) v=1.85.0-1;; cargo) v=0.66.0+ds1-1;;", " cargo-web"),
		Entry("as on Debian 13, which has two", "cargo-web) v=1.96.0-1;; cargo) v=1.85.1-1;;", " cargo-web"),
		Entry("if only the second exists", "cargo) v=1:1.85.1-1;;", " cargo"),
		Entry("if all are too old", "cargo) v=0.66.0+ds1-1;;", ""),
	)

	It("looks for the licence of Debian's Go before it builds a release", func() {
		tree := GinkgoT().TempDir()
		bin := linked("bash", "dirname", "mkdir", "realpath", "rm", "sed")
		for name, content := range map[string]string{
			tree + "/tools/dist.sh":     contents("tools/dist.sh"),
			tree + "/csrc/scm_rights.h": contents("csrc/scm_rights.h"),
			tree + "/goroot/bin/go":     "",
			filepath.Join(bin, "go"):    "#!/bin/sh\n[ $1 = env ] && echo " + tree + "/goroot || { echo builds; exit 1; }\n",
			bin + "/dpkg-query":         "#!/bin/sh\necho \"golang-none-go: $2\"\n",
		} {
			Expect(os.MkdirAll(filepath.Dir(name), 0o700)).To(Succeed())
			Expect(os.WriteFile(name, []byte(content), 0o700)).To(Succeed())
		}
		run := func() string {
			cmd := exec.Command(filepath.Join(bin, "bash"), tree+"/tools/dist.sh", "amd64")
			cmd.Env = []string{"HOME=" + tree, "PATH=" + bin}
			out, err := cmd.CombinedOutput()
			Expect(err).To(HaveOccurred())
			return string(out)
		}
		Expect(run()).To(Equal("dist: no licence in " + tree + "/goroot or /usr/share/doc/golang-none-go\n"))
		Expect(os.WriteFile(tree+"/goroot/LICENSE", nil, 0o600)).To(Succeed())
		Expect(run()).To(HavePrefix("builds\n"))
	})

	It("requires few modules directly, and docs/dependencies.md gives the reason for each", func() {
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

		doc := contents("docs/dependencies.md")
		var named []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(doc, -1) {
			named = append(named, row[1])
		}
		Expect(named).To(ConsistOf(direct), "the rows of docs/dependencies.md")
	})
})

// makeEnvironment is the environment of a make that treats a missing tool as a reason to skip.
func makeEnvironment() []string {
	return append(fdtest.WithoutMake(), "CI=")
}
