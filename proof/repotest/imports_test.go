//go:build linux && !purego && !scm_purego

package repotest

import (
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// unsafePackages import unsafe outside their tests. Packages fusetest and ringtest are used only by tests.
var unsafePackages = []string{
	"csrc", "internal/pure", "internal/sys", "internal/recorder", "interop/raw", "internal/fusetest", "internal/ringtest",
}

// bothBackends returns packages as go list finds them with cgo, and then with the tag scm_purego.
func bothBackends(args ...string) []goPackage {
	GinkgoHelper()
	g := goTool{env: []string{"CGO_ENABLED=1"}}
	return slices.Concat(g.list(args...), g.list(append([]string{"-tags=scm_purego"}, args...)...))
}

var _ = Describe("the tree", Label("tree"), func() {
	// The suite, the recorder and scm poke must not use what they test. Package fdleak is for tests of anything.
	DescribeTable("has packages that depend, outside the standard library and x/sys, on no others of this module and on no other module:",
		func(may string, packages ...string) {
			if len(packages) == 0 {
				packages = slices.DeleteFunc(publicPackages(), func(p string) bool { return p == module+"/fdleak" })
			}
			allowed := regexp.MustCompile(`^(golang\.org/x/sys/.*|` + module + `/?(` + may + `))$`)
			found := bothBackends(append([]string{"-deps"}, packages...)...)
			Expect(len(found)).To(BeNumerically(">", 20))
			for _, p := range found {
				if strings.Contains(strings.Split(p.ImportPath, "/")[0], ".") {
					Expect(p.ImportPath).To(MatchRegexp(allowed.String()))
				}
			}
		},
		Entry("the library", `|csrc|fdchannel|framed|handover|handover/httpdrain|wire|internal/(msg|pure|received|sys)`),
		Entry("fdleak", `fdleak|internal/(fdtest|msg|procfs|received|sys)`, "./fdleak"),
		Entry("the suite and the recorder", `interop|interop/[^/]+|internal/(ownthread|procfs|recorder)|interop/peers/(go/peer|peertest)`,
			"./interop", "./interop/report", "./interop/catalogue", "./interop/peers", "./interop/peers/go/peer", "./internal/recorder"),
		Entry("scm poke", `interop/[^/]+|internal/(ownthread|procfs|ringtest)|cmd/scm/internal/programs(/testserver)?`,
			"./cmd/scm/internal/programs/..."),
	)

	It("imports unsafe and C only in the packages that need them", func() {
		var unsafe, c []string
		for _, p := range bothBackends("./...") {
			name := strings.TrimPrefix(p.ImportPath, module+"/")
			if slices.Contains(p.Imports, "unsafe") && !slices.Contains(unsafe, name) {
				unsafe = append(unsafe, name)
			}
			if len(p.CgoFiles) > 0 && !slices.Contains(c, name) {
				c = append(c, name)
			}
		}
		Expect(unsafe).To(ConsistOf(unsafePackages))
		Expect(c).To(ConsistOf("csrc"))
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

	// If gcc is in PATH, cgo is enabled for Windows too, where csrc does not build.
	It("does not need csrc on systems where every call returns ErrUnsupported, even if cgo is enabled", func() {
		for _, system := range []string{"windows/amd64", "js/wasm", "wasip1/wasm", "plan9/amd64"} {
			goos, goarch, _ := strings.Cut(system, "/")
			g := goTool{env: []string{"CGO_ENABLED=1", "GOOS=" + goos, "GOARCH=" + goarch}}
			for _, p := range g.list("./...") {
				Expect(p.Deps).NotTo(ContainElement(module+"/csrc"), "%s: %s", system, p.ImportPath)
			}
		}
	})

	It("needs the version of Go that README.md names, and so does scmvet", func() {
		goLine := regexp.MustCompile(`(?m)^go (\S+)$`)
		library := goLine.FindStringSubmatch(contents("go.mod"))
		Expect(library).To(HaveLen(2))
		Expect(contents("README.md")).To(ContainSubstring("with Go " + strings.TrimSuffix(library[1], ".0") + " or newer"))
		// scmvet needs no newer version than the programs that it checks.
		Expect(contents("cmd/scmvet/go.mod")).To(ContainSubstring("\ngo " + library[1] + "\n"))
	})
})
