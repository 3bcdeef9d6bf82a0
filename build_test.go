//go:build linux && !purego

package scm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// What a consumer's build does, in every way in which it can be asked to.

// libraryPackages are what a consumer on any system compiles.
var libraryPackages = []string{".", "./csrc", "./internal/pure", "./fdchannel"}

var _ = Describe("the build", Label("build"), func() {
	DescribeTable("on another system builds and vets",
		func(goos string, goarches ...string) {
			for _, goarch := range goarches {
				g := goTool{env: []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch}}
				g.must(append([]string{"build"}, libraryPackages...)...)
				if goos == "linux" || goos == "android" {
					// The libraries of the tests are not worth their time on each.
					g.must("vet", "./csrc", "./internal/pure")
					continue
				}
				g.must(append([]string{"vet"}, libraryPackages...)...)
			}
		},
		func(goos string, goarches ...string) string { return goos + ": " + strings.Join(goarches, ", ") },
		Entry(nil, "linux", "386", "arm", "arm64", "loong64", "mips", "mips64le", "ppc64le", "riscv64", "s390x"),
		Entry(nil, "android", "arm64"),
		Entry(nil, "darwin", "amd64", "arm64"),
		Entry(nil, "freebsd", "amd64", "386"),
		Entry(nil, "netbsd", "amd64"),
		Entry(nil, "openbsd", "amd64"),
		Entry(nil, "dragonfly", "amd64"),
		Entry(nil, "solaris", "amd64"),
		Entry(nil, "illumos", "amd64"),
		Entry(nil, "aix", "ppc64"),
		Entry(nil, "windows", "amd64", "arm64"),
		Entry(nil, "js", "wasm"),
		Entry(nil, "wasip1", "wasm"),
		Entry(nil, "plan9", "amd64"),
	)

	It("builds the command where the kernel's structures differ most from amd64's: mips", func() {
		goTool{env: []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=mips"}}.must("build", "-o", os.DevNull, "./cmd/scm")
	})

	It("for a system without descriptor passing says ErrUnsupported: js/wasm is run", func() {
		if _, err := exec.LookPath("node"); err != nil {
			Skip("js/wasm was built and not run: " + err.Error())
		}
		runner := filepath.Join(strings.TrimSpace(goTool{}.must("env", "GOROOT")), "lib/wasm/go_js_wasm_exec")
		if _, err := os.Stat(runner); err != nil {
			Skip("js/wasm was built and not run: " + err.Error())
		}
		for _, p := range []string{".", "./fdchannel"} {
			out := goTool{env: []string{"GOOS=js", "GOARCH=wasm"}}.must("test", "-v", "-run", "TestUnsupported", "-exec", runner, p)
			Expect(out).To(ContainSubstring("--- PASS: TestUnsupported"))
		}
	})

	Describe("of a consumer", func() {
		var g goTool
		BeforeEach(func() { g = goTool{dir: consumer()} })

		It("takes the C where there is a compiler", func() {
			needsCompiler()
			Expect(g.must("run", ".")).To(Equal("cgo\n"))
		})

		It("takes the Go without a compiler in PATH", func() {
			bin := filepath.Join(strings.TrimSpace(goTool{}.must("env", "GOROOT")), "bin")
			g.env = []string{"PATH=" + bin, "CC="}
			Expect(g.must("run", ".")).To(Equal("purego\n"))
		})

		It("takes the Go with CGO_ENABLED=0", func() {
			g.env = []string{"CGO_ENABLED=0"}
			Expect(g.must("run", ".")).To(Equal("purego\n"))
		})

		It("takes the Go under the tag purego, with cgo on", func() {
			needsCompiler()
			g.env = []string{"CGO_ENABLED=1"}
			Expect(g.must("run", "-tags", "purego", ".")).To(Equal("purego\n"))
			g.must("vet", "-tags", "purego", ".")
		})

		It("has the functions of csrc in the binary, and under the tag purego no symbol of it", func() {
			needsCompiler()
			symbols := func(args ...string) string {
				bin := filepath.Join(g.dir, "consumer")
				g.must(append(append([]string{"build", "-o", bin}, args...), ".")...)
				return g.must("tool", "nm", bin)
			}
			ofC := regexp.MustCompile(`(?m) (_cgo_\w+_Cfunc_)?(write_fd|read_fd|scm_\w+)$`)
			withC := ofC.FindAllString(symbols(), -1)
			for _, name := range []string{"write_fd", "read_fd", "scm_send", "scm_recv"} {
				Expect(withC).To(ContainElement(" " + name))
			}
			pure := symbols("-tags", "purego")
			Expect(pure).To(ContainSubstring(module + "/internal/pure."))
			Expect(pure).NotTo(ContainSubstring(module + "/csrc"))
			Expect(ofC.FindAllString(pure, -1)).To(BeEmpty())
		})

		It("survives go mod vendor, C and all", func() {
			g.must("mod", "vendor")
			for _, pattern := range []string{"*.c", "*.h"} {
				here, err := filepath.Glob(filepath.Join("csrc", pattern))
				Expect(err).NotTo(HaveOccurred())
				Expect(here).NotTo(BeEmpty())
				for _, name := range here {
					Expect(filepath.Join(g.dir, "vendor", module, name)).To(BeAnExistingFile())
				}
			}
			Expect(g.must("run", "-mod=vendor", "-tags", "purego", ".")).To(Equal("purego\n"))
			needsCompiler()
			Expect(g.must("run", "-mod=vendor", ".")).To(Equal("cgo\n"))
		})

		It("downloads one module, x/sys", func() {
			cache := GinkgoT().TempDir()
			g.env = []string{"GOMODCACHE=" + cache, "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local"}
			if _, stderr, err := g.run("mod", "download", "golang.org/x/sys"); err != nil {
				missing("no module can be downloaded here: " + strings.TrimSpace(stderr))
			}
			Expect(os.RemoveAll(cache)).To(Succeed())
			Expect(os.Mkdir(cache, 0o700)).To(Succeed())
			// Over cgo not even that is compiled on Linux.
			g.must("build", "-o", os.DevNull, ".")
			g.must("build", "-o", os.DevNull, "-tags", "purego", ".")
			Expect(zips(cache)).To(ConsistOf(HavePrefix("golang.org/x/sys/@v/")))
		})
	})

	It("breaks without csrc/read_fd.c", func() {
		needsCompiler()
		overlay := overlay(map[string]string{"csrc/read_fd.c": ""})
		_, stderr, err := goTool{}.run("build", "-o", os.DevNull, "-overlay", overlay, "./cmd/scm")
		Expect(err).To(HaveOccurred())
		Expect(stderr).To(ContainSubstring("read_fd"))
		goTool{}.must("build", "-o", os.DevNull, "-overlay", overlay, "-tags", "purego", "./cmd/scm")
	})

	DescribeTable("keeps the rules of memory",
		func(env string, args ...string) {
			if !strings.Contains(strings.Join(args, " "), "purego") {
				needsCompiler()
			}
			bin := filepath.Join(GinkgoT().TempDir(), "memory.test")
			goTool{env: []string{env}}.must(append([]string{"test", "-c", "-o", bin}, append(args, ".")...)...)
			specs := runSuite(bin, []string{"GODEBUG=cgocheck=1"}, "--ginkgo.label-filter=memory")
			Expect(len(specs)).To(BeNumerically(">", 30))
			for _, s := range specs {
				Expect(s.State.String()).To(Equal("passed"), s.FullText())
			}
		},
		Entry("of cgo, at every store of a pointer", "GOEXPERIMENT=cgocheck2"),
		Entry("of unsafe.Pointer, with cgo", "", "-gcflags="+module+"/...=-d=checkptr"),
		Entry("of unsafe.Pointer, in the Go backend", "", "-tags=purego", "-gcflags="+module+"/...=-d=checkptr"),
	)

	It("for 386 runs on amd64: all that is one system call", func() {
		if runtime.GOARCH != "amd64" {
			Skip("386 runs natively on amd64 alone")
		}
		bin := filepath.Join(GinkgoT().TempDir(), "386.test")
		goTool{env: []string{"CGO_ENABLED=0", "GOARCH=386"}}.must("test", "-c", "-o", bin, ".")
		if err := exec.Command(bin, "-test.list=^$").Run(); errors.Is(err, unix.ENOEXEC) {
			Skip("this kernel runs no 386 programs")
		}
		specs := runSuite(bin, nil, "--ginkgo.focus= over purego (the pair|a message|a batch|flags|credentials|the law of descriptors|the system call) ")
		Expect(len(specs)).To(BeNumerically(">", 200))
		for _, s := range specs {
			Expect(s.State.String()).To(BeElementOf("passed", "skipped"), "%s: %s", s.FullText(), s.FailureMessage())
		}
	})
})

// zips are the modules' sources that were downloaded into a module cache.
func zips(cache string) []string {
	GinkgoHelper()
	var found []string
	downloads := filepath.Join(cache, "cache", "download")
	Expect(filepath.WalkDir(downloads, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".zip" {
			name, _ := filepath.Rel(downloads, path)
			found = append(found, name)
		}
		return err
	})).To(Succeed())
	return found
}

// overlay writes a file for the flag -overlay, which gives files of this
// checkout another content. No content stands for no file.
func overlay(contents map[string]string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	here, err := os.Getwd()
	Expect(err).NotTo(HaveOccurred())
	replace := map[string]string{}
	for name, content := range contents {
		to := ""
		if content != "" {
			to = filepath.Join(dir, fmt.Sprint(len(replace))+filepath.Ext(name))
			Expect(os.WriteFile(to, []byte(content), 0o600)).To(Succeed())
		}
		replace[filepath.Join(here, name)] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	Expect(err).NotTo(HaveOccurred())
	name := filepath.Join(dir, "overlay.json")
	Expect(os.WriteFile(name, text, 0o600)).To(Succeed())
	return name
}
