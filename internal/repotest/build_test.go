//go:build linux && !purego

package repotest

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/target"
)

// What a consumer's build does, in every way in which it can be asked to.

// architectures returns those of internal/target/targets.txt that have a target of a kind.
func architectures(is func(target.Target) bool) (names []string) {
	for _, t := range target.All() {
		if is(t) && !slices.Contains(names, t.Arch) {
			names = append(names, t.Arch)
		}
	}
	return names
}

var _ = Describe("the build", Label("build"), func() {
	It("is played under an emulator for the architectures that README.md names", func() {
		readme, err := os.ReadFile("README.md")
		Expect(err).NotTo(HaveOccurred())
		names := architectures(func(t target.Target) bool { return t.Foreign && t.Arch != "386" && t.Arch != "amd64" })
		named := regexp.MustCompile(`(?m)^\| proved under qemu-user.* \| linux on (.*) \|$`).FindSubmatch(readme)
		Expect(named).To(HaveLen(2))
		Expect(strings.Split(string(named[1]), ", ")).To(Equal(names))
	})

	It("is checked by make lint on every system that README.md names", func() {
		makefile, err := os.ReadFile("Makefile")
		Expect(err).NotTo(HaveOccurred())
		list := regexp.MustCompile(`(?m)^SYSTEMS :=((?:.*\\\n)*.*)$`).FindSubmatch(makefile)
		Expect(list).To(HaveLen(2))
		systems := strings.Fields(strings.ReplaceAll(string(list[1]), "\\\n", " "))
		readme, err := os.ReadFile("README.md")
		Expect(err).NotTo(HaveOccurred())
		_, platforms, found := strings.Cut(string(readme), "\n## Platforms\n")
		Expect(found).To(BeTrue())
		platforms, _, _ = strings.Cut(platforms, "\n## ")
		for _, system := range systems {
			goos, _, _ := strings.Cut(system, "/")
			Expect(platforms).To(MatchRegexp(`\b`+goos+`\b`), "README.md does not name "+system)
		}
		ports := strings.Fields(goTool{}.must("tool", "dist", "list"))
		Expect(ports).To(ContainElements(systems))
		for _, port := range ports {
			goos, _, _ := strings.Cut(port, "/")
			if goos != "linux" && regexp.MustCompile(`\b`+goos+`\b`).MatchString(platforms) {
				Expect(systems).To(ContainElement(HavePrefix(goos+"/")), "SYSTEMS of the Makefile")
			}
		}
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
			for _, name := range []string{"write_fd", "read_fd", "send", "recv"} {
				Expect(withC).To(ContainElement(" scm_rights_go_" + name))
			}
			pure := symbols("-tags", "purego")
			Expect(pure).To(ContainSubstring(module + "/internal/pure."))
			Expect(pure).NotTo(ContainSubstring(module + "/csrc"))
			Expect(ofC.FindAllString(pure, -1)).To(BeEmpty())
		})

		DescribeTable("shows no symbol of csrc to other C, and defines none that is not its own",
			func(file string, args ...string) {
				needsCompiler()
				bin := filepath.Join(g.dir, file)
				g.must(append(append([]string{"build", "-o", bin}, args...), ".")...)
				global, shown := cSymbols(bin)
				Expect(global).To(ContainElement("scm_rights_go_read_fd"), "are these the symbols?")
				for _, name := range global {
					if strings.HasPrefix(name, "scm_rights_go_") {
						Expect(shown).NotTo(ContainElement(name))
					} else {
						Expect(name).NotTo(MatchRegexp("^(read_fd|write_fd|scm_)"), "not renamed: csrc/cgo_names.h")
					}
				}
			},
			func(file string, args ...string) string { return strings.Join(append([]string{file}, args...), " ") },
			Entry(nil, "consumer"),
			Entry(nil, "consumer.so", "-buildmode=c-shared"),
			Entry(nil, "consumer.a", "-buildmode=c-archive"),
		)

		It("leaves read_fd and write_fd to the program's own C", func() {
			needsCompiler()
			g.writes(map[string]string{"book.h": bookHeader, "book.c": bookSource, "main.go": besideC("")})
			Expect(g.must("run", ".")).To(Equal("book: 0, scm: 1, cgo\n"))
		})

		It("leaves a shared library its read_fd and write_fd", func() {
			needsCompiler()
			g.writes(map[string]string{"book.h": bookHeader, "lib/book.c": bookSource})
			g.compiles("-shared", "-fPIC", "-I.", "-o", "lib/libbook.so", "lib/book.c")
			g.writes(map[string]string{"main.go": besideC("-L${SRCDIR}/lib -lbook -Wl,-rpath,${SRCDIR}/lib")})
			Expect(g.must("run", "-tags", "purego", ".")).To(Equal("book: 0, scm: 1, purego\n"))
			Expect(g.must("run", ".")).To(Equal("book: 0, scm: 1, cgo\n"))
		})

		It("links beside the installed libscm_rights, shared and static", func() {
			needsCompiler()
			if _, err := exec.LookPath("make"); err != nil {
				fdtest.Missing(GinkgoTB(), err.Error())
			}
			install := exec.Command("make", "-C", "csrc", "install", "BUILD="+GinkgoT().TempDir(), "PREFIX="+g.dir+"/usr", "CC="+g.compiler())
			out, err := install.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s", out)
			for _, ldflags := range []string{"-L${SRCDIR}/usr/lib -lscm_rights -Wl,-rpath,${SRCDIR}/usr/lib", "${SRCDIR}/usr/lib/libscm_rights.a"} {
				g.writes(map[string]string{"book.h": bookHeader, "pass.c": passSource, "main.go": besideC("-g " + ldflags)})
				bin := filepath.Join(g.dir, "consumer")
				g.must("build", "-o", bin, ".")
				run, err := exec.Command(bin).CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), "%s", run)
				Expect(string(run)).To(Equal("book: 1, scm: 1, cgo\n"))
				Expect(g.must("tool", "nm", bin)).To(And(MatchRegexp(" read_fd(@|$|\\n)"), ContainSubstring(" scm_rights_go_read_fd\n")))
			}
		})

		DescribeTable("adds nothing to a process that it does not use yet",
			func(args ...string) {
				needsCompiler()
				ours := []string{module, module + "/fdchannel", module + "/wire"}
				// What package os does at its start is not ours: it raises RLIMIT_NOFILE.
				standard := strings.Fields(g.must(slices.Concat([]string{"list", "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}"}, args, ours)...))
				standard = slices.DeleteFunc(standard, func(p string) bool {
					return strings.Contains(p, "internal") || strings.HasPrefix(p, "vendor/") || p == "runtime/cgo"
				})
				bin := filepath.Join(g.dir, "consumer")
				state := func(packages []string) string {
					g.writes(map[string]string{"main.go": stateProgram(packages)})
					g.must(slices.Concat([]string{"build", "-o", bin}, args, []string{"."})...)
					out, err := exec.Command(bin).CombinedOutput()
					Expect(err).NotTo(HaveOccurred(), "%s", out)
					Expect(string(out)).To(And(ContainSubstring("SigCgt:"), ContainSubstring("Max open files"), ContainSubstring("1 goroutines")))
					return string(out)
				}
				without := state(standard)
				Expect(state(append(ours, standard...))).To(Equal(without))
				Expect(g.must("tool", "nm", bin)).NotTo(MatchRegexp(`(?m) `+module+`(/\w+)*\.init\.\d+$`), "an init function")
			},
			func(args ...string) string { return strings.Join(append([]string{"build"}, args...), " ") },
			Entry(nil),
			Entry(nil, "-tags", "purego"),
		)

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
				fdtest.Missing(GinkgoTB(), "no module can be downloaded here: "+strings.TrimSpace(stderr))
			}
			Expect(os.RemoveAll(cache)).To(Succeed())
			Expect(os.Mkdir(cache, 0o700)).To(Succeed())
			// Over cgo not even that is compiled on Linux.
			g.must("build", "-o", os.DevNull, ".")
			g.must("build", "-o", os.DevNull, "-tags", "purego", ".")
			Expect(zips(cache)).To(ConsistOf(HavePrefix("golang.org/x/sys/@v/")))
		})
	})

	It("asks no compiler to write to a device, which some remove first, and leaves no file", func() {
		bin, tmp := GinkgoT().TempDir(), GinkgoT().TempDir()
		cc := filepath.Join(bin, "cc")
		Expect(os.WriteFile(cc, []byte(deviceCompiler), 0o755)).To(Succeed())
		for _, program := range []string{"make", "sh", "bash", "sed", "head", "dirname", "go", "mktemp", "rm", "cat", "awk", "id"} {
			at, err := exec.LookPath(program)
			if err != nil {
				fdtest.Missing(GinkgoTB(), err.Error())
			}
			Expect(os.Symlink(at, filepath.Join(bin, program))).To(Succeed())
		}
		run := func(name string, args ...string) string {
			cmd := exec.Command(filepath.Join(bin, name), args...)
			// Without apt-get in PATH the script installs nothing.
			cmd.Env = append(os.Environ(), "PATH="+bin, "CC="+cc, "TMPDIR="+tmp)
			out, err := cmd.CombinedOutput()
			ExpectWithOffset(1, err).NotTo(HaveOccurred(), "%s", out)
			left, err := os.ReadDir(tmp)
			ExpectWithOffset(1, err).NotTo(HaveOccurred())
			ExpectWithOffset(1, left).To(BeEmpty())
			return string(out)
		}
		Expect(run("make", "-C", "csrc", "-n", "CC="+cc, "BUILD="+bin+"/build")).To(ContainSubstring(" -fstack-clash-protection "))
		Expect(run("bash", "tools/setup", "test")).NotTo(ContainSubstring("a C compiler"))
	})

	It("of the C library installs below any folder, and uninstalls all of it", func() {
		needsCompiler()
		if _, err := exec.LookPath("make"); err != nil {
			fdtest.Missing(GinkgoTB(), err.Error())
		}
		to := filepath.Join(GinkgoT().TempDir(), "to here")
		run := func(target string) {
			cmd := exec.Command("make", "-C", "csrc", target, "CC="+goTool{}.compiler(), "DESTDIR="+to,
				"BUILD="+filepath.Join(GinkgoT().TempDir(), "a b c"), "PREFIX=/opt/R&D |x", "LIBDIR=/opt/R&D/lib")
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s", out)
		}
		files := func() (names []string) {
			Expect(filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					names = append(names, strings.TrimPrefix(path, to))
				}
				return err
			})).To(Succeed())
			return names
		}
		run("install")
		Expect(files()).To(ContainElements("/opt/R&D |x/include/scm_rights.h", "/opt/R&D/lib/libscm_rights.a", "/opt/R&D/lib/libscm_rights.so", "/opt/R&D |x/share/man/man3/scm_rights_recv.3"))
		pc, err := os.ReadFile(to + "/opt/R&D/lib/pkgconfig/scm_rights.pc")
		Expect(err).NotTo(HaveOccurred())
		Expect(string(pc)).To(And(ContainSubstring("prefix=/opt/R&D\\ |x\n"), ContainSubstring("libdir=/opt/R&D/lib\n")))
		run("uninstall")
		Expect(files()).To(BeEmpty())
	})

	It("of the C library takes flags with quotes", func() {
		needsCompiler()
		if _, err := exec.LookPath("make"); err != nil {
			fdtest.Missing(GinkgoTB(), err.Error())
		}
		build, flags := GinkgoT().TempDir(), `CFLAGS=-O1 -DX='a b' -DY="c d"`
		run := func() string {
			out, err := exec.Command("make", "-C", "csrc", "CC="+goTool{}.compiler(), "BUILD="+build, flags, "all", "exports").CombinedOutput()
			ExpectWithOffset(1, err).NotTo(HaveOccurred(), "%s", out)
			return string(out)
		}
		Expect(run()).To(ContainSubstring(" -c -o "))
		Expect(os.ReadFile(build + "/flags")).To(ContainSubstring(strings.TrimPrefix(flags, "CFLAGS=")))
		Expect(run()).NotTo(ContainSubstring(" -c -o "), "built again with the same flags")
	})

	DescribeTable("of the C library takes flags that change what is compiled", func(flags string) {
		needsCompiler()
		if _, err := exec.LookPath("make"); err != nil {
			fdtest.Missing(GinkgoTB(), err.Error())
		}
		build := GinkgoT().TempDir()
		source := build + "/probe.c"
		Expect(os.WriteFile(source, []byte("#include <errno.h>\n#include <sys/socket.h>\nint main(void) { return 0; }\n"), 0o600)).To(Succeed())
		probe := exec.Command(goTool{}.compiler(), append(strings.Fields(flags), "-o", build+"/probe", source)...)
		if out, err := probe.CombinedOutput(); err != nil {
			Skip("this compiler cannot do " + flags + ": " + string(out))
		}
		cmd := exec.Command("make", "-C", "csrc", "CC="+goTool{}.compiler(), "BUILD="+build, "CFLAGS="+flags, "all", "exports", "man")
		cmd.Env = append(os.Environ(), "CI=") // without mandoc the pages are not looked at
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
	},
		Entry("hidden functions", "-O1 -fvisibility=hidden"),
		Entry("another architecture", "-O1 -m32"),
	)

	Describe("of the C library, where a folder", func() {
		var to string

		BeforeEach(func() {
			needsCompiler()
			if _, err := exec.LookPath("make"); err != nil {
				fdtest.Missing(GinkgoTB(), err.Error())
			}
			to = GinkgoT().TempDir()
		})

		target := func(name string, args ...string) (string, error) {
			cmd := exec.Command("make", append([]string{"-C", "csrc", name, "CC=" + goTool{}.compiler(), "BUILD=" + to + "/build"}, args...)...)
			cmd.Env = append(os.Environ(), "CDPATH="+to+"/elsewhere")
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		makes := func(name string, args ...string) {
			out, err := target(name, args...)
			ExpectWithOffset(1, err).NotTo(HaveOccurred(), out)
		}

		It("has a # or a backslash in its name, tells pkg-config so", func() {
			prefix := to + `/a#b\c d`
			makes("install", "PREFIX="+prefix)
			Expect(os.ReadFile(prefix + "/lib/pkgconfig/scm_rights.pc")).To(ContainSubstring("prefix=" + to + `/a\#b\\c\ d` + "\n"))
			if _, err := exec.LookPath("pkg-config"); err != nil {
				fdtest.Missing(GinkgoTB(), err.Error())
			}
			cmd := exec.Command("sh", "-c", `eval "printf '%s' $(pkg-config --cflags scm_rights)"`)
			cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+prefix+"/lib/pkgconfig")
			out, err := cmd.Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(out)).To(Equal("-I" + prefix + "/include"))
		})

		It("is gone, removes the rest", func() {
			makes("install", "PREFIX="+to+"/usr")
			Expect(os.RemoveAll(to + "/usr/lib")).To(Succeed())
			makes("uninstall", "PREFIX="+to+"/usr")
			Expect(os.ReadDir(to + "/usr/share/man/man3")).To(BeEmpty())
			Expect(os.ReadDir(to + "/usr/include")).To(BeEmpty())
		})

		It("has a percent sign in its name, is installed to and emptied", func() {
			makes("install", "PREFIX="+to+"/50%")
			Expect(to + "/50%/lib/libscm_rights.a").To(BeAnExistingFile())
			makes("uninstall", "PREFIX="+to+"/50%")
			Expect(os.ReadDir(to + "/50%/share/man/man3")).To(BeEmpty())
			Expect(to + "/50%/lib/libscm_rights.a").NotTo(BeAnExistingFile())
		})

		It("is relative, removes nothing of another", func() {
			folder, err := filepath.Abs("csrc")
			Expect(err).NotTo(HaveOccurred())
			relative, err := filepath.Rel(folder, to)
			Expect(err).NotTo(HaveOccurred())
			// cd looks for lib in the folders of CDPATH first.
			Expect(os.MkdirAll(to+"/elsewhere/lib", 0o755)).To(Succeed())
			Expect(os.WriteFile(to+"/elsewhere/lib/libscm_rights.a", nil, 0o644)).To(Succeed())
			makes("uninstall", "PREFIX="+relative, "LIBDIR=lib")
			Expect(to + "/elsewhere/lib/libscm_rights.a").To(BeAnExistingFile())
		})

		It("has a quote, a dollar or a newline in its name, refuses it", func() {
			for _, bad := range []string{`'`, `"`, "`", "$$", "\n"} {
				for _, name := range []string{"PREFIX", "LIBDIR", "INCLUDEDIR", "MANDIR", "DESTDIR"} {
					for _, t := range []string{"install", "uninstall"} {
						args := []string{"DESTDIR=" + to, name + "=" + to + "/x" + bad + "y"}
						out, err := target(t, args...)
						Expect(err).To(HaveOccurred(), out)
						Expect(out).To(ContainSubstring("*** "+name+": a folder may not have quotes, $ or newlines in its name."), "%s %q", t, args)
					}
				}
			}
		})
	})

	It("is not built in a folder whose name make or the shell would misread", func() {
		if _, err := exec.LookPath("make"); err != nil {
			fdtest.Missing(GinkgoTB(), err.Error())
		}
		for _, bad := range []string{"%", ":", ";", "&", "|", "<", ">", "*", "?", "[", `\`, "'", `"`, "`", "$$", "(", ")", "\n"} {
			build := GinkgoT().TempDir() + "/x" + bad + "y"
			out, err := exec.Command("make", "-C", "csrc", "-n", "clean", "BUILD="+build).CombinedOutput()
			Expect(err).To(HaveOccurred(), "%q: %s", bad, out)
			Expect(string(out)).To(ContainSubstring("*** BUILD: the folder may not have % :"), "%q", bad)
		}
	})

	DescribeTable("is linted by tools that are named where they are missing", func(tool string) {
		path := GinkgoT().TempDir()
		for _, program := range []string{"make", "sh", "bash", "find", "sort", "sed", "git", "dirname", "grep"} {
			at, err := exec.LookPath(program)
			if err != nil {
				fdtest.Missing(GinkgoTB(), err.Error())
			}
			Expect(os.Symlink(at, filepath.Join(path, program))).To(Succeed())
		}
		cmd := exec.Command("make", "lint-"+tool)
		cmd.Env = []string{"PATH=" + path}
		out, err := cmd.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(MatchRegexp("(?m)^" + tool + ": not found$"))
	},
		Entry(nil, "ruby"),
		Entry(nil, "perl"),
		Entry(nil, "php"),
	)

	It("takes no header of the user's for its own", func() {
		needsCompiler()
		folder := GinkgoT().TempDir()
		Expect(os.WriteFile(folder+"/cgo.h", []byte("#error not the library's\n"), 0o644)).To(Succeed())
		goTool{env: []string{"CGO_CFLAGS=-I" + folder}}.must("build", "./csrc")
	})

	It("breaks without csrc/read_fd.c", func() {
		needsCompiler()
		overlay := overlay(map[string]string{"csrc/read_fd.c": ""})
		_, stderr, err := goTool{}.run("build", "-o", os.DevNull, "-overlay", overlay, "./cmd/scm")
		Expect(err).To(HaveOccurred())
		Expect(stderr).To(ContainSubstring("read_fd"))
		goTool{}.must("build", "-o", os.DevNull, "-overlay", overlay, "-tags", "purego", "./cmd/scm")
	})

	It("for 386 passes descriptors on amd64", func() {
		dir := consumer()
		bin := filepath.Join(dir, "consumer")
		goTool{dir: dir, env: []string{"CGO_ENABLED=0", "GOARCH=386"}}.must("build", "-o", bin, ".")
		out, err := run386(bin)
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(Equal("purego\n"))
	})
})

// Each of these compiles the specs, and all that they are made of, once more. make builds runs them; what runs with the
// rest is the program for 386, and the race detector's, which has -d=checkptr in it.
var _ = Describe("another build", Label("builds"), func() {
	BeforeEach(func() {
		if os.Getenv("SCM_BUILDS") != "full" {
			Skip("make builds runs it")
		}
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
		bin := filepath.Join(GinkgoT().TempDir(), "386.test")
		goTool{env: []string{"CGO_ENABLED=0", "GOARCH=386"}}.must("test", "-c", "-o", bin, ".")
		_, err := run386(bin, "-test.list=^$")
		Expect(err).NotTo(HaveOccurred())
		specs := runSuite(bin, nil, "--ginkgo.focus= over purego (the pair|a message|a batch|flags|credentials|the law of descriptors|the system call) ")
		Expect(len(specs)).To(BeNumerically(">", 200))
		for _, s := range specs {
			Expect(s.State.String()).To(BeElementOf("passed", "skipped"), "%s: %s", s.FullText(), s.FailureMessage())
		}
	})
})

// run386 runs a program for 386, or skips the spec where none runs.
func run386(bin string, args ...string) (string, error) {
	GinkgoHelper()
	if runtime.GOARCH != "amd64" {
		Skip("386 runs natively on amd64 alone")
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if errors.Is(err, unix.ENOEXEC) {
		Skip("this kernel runs no 386 programs")
	}
	return string(out), err
}

// cSymbols are the names of functions and variables in a program or an archive
// that begin as a C function's can: those that its own C files share, hidden or
// not, and those that other C sees.
func cSymbols(name string) (global, shown []string) {
	GinkgoHelper()
	objects := []string{name}
	if filepath.Ext(name) == ".a" {
		dir := GinkgoT().TempDir()
		cmd := exec.Command("ar", "x", name)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		objects, err = filepath.Glob(filepath.Join(dir, "*"))
		Expect(err).NotTo(HaveOccurred())
	}
	for _, object := range objects {
		g, s := objectSymbols(object)
		global, shown = append(global, g...), append(shown, s...)
	}
	return global, shown
}

func objectSymbols(name string) (global, shown []string) {
	GinkgoHelper()
	file, err := elf.Open(name)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	symbols, err := file.Symbols()
	Expect(err).NotTo(HaveOccurred())
	for _, s := range symbols {
		local := elf.ST_BIND(s.Info) == elf.STB_LOCAL
		switch {
		case s.Section == elf.SHN_UNDEF, elf.ST_TYPE(s.Info) == elf.STT_FILE:
		case local && (file.Type == elf.ET_REL || strings.HasPrefix(s.Name, "scm_cgo_")):
			// Static. Once linked, what was hidden is local too.
		default:
			global = append(global, s.Name)
			if file.Type == elf.ET_REL && elf.ST_VISIBILITY(s.Other) != elf.STV_HIDDEN {
				shown = append(shown, s.Name)
			}
		}
	}
	dynamic, err := file.DynamicSymbols()
	if err != nil {
		Expect(err).To(MatchError(elf.ErrNoSymbols))
	}
	for _, s := range dynamic {
		if s.Section != elf.SHN_UNDEF {
			shown = append(shown, s.Name)
		}
	}
	return global, shown
}

// What a program has in C beside scm: the book's two functions, which receive
// without close-on-exec, and a function that passes a descriptor by them and
// returns the descriptor flags of the received descriptor.
const (
	bookHeader = `#include <sys/types.h>
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);
int pass(int a, int b, int fd);
`
	passSource = `#include "book.h"
#include <fcntl.h>
#include <unistd.h>

int
pass(int a, int b, int fd)
{
	char byte = 0;
	int got = -1, flags;

	if (write_fd(a, &byte, 1, fd) != 1 || read_fd(b, &byte, 1, &got) != 1)
		return -1;
	flags = fcntl(got, F_GETFD);
	close(got);
	return flags;
}
`
	bookSource = passSource + `
#include <string.h>
#include <sys/socket.h>

static ssize_t
call(int fd, void *ptr, size_t nbytes, int *passed, int receive)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {ptr, nbytes};
	struct msghdr msg;
	ssize_t n;

	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	if (receive) {
		n = recvmsg(fd, &msg, 0);
		memcpy(passed, CMSG_DATA(&control.align), sizeof(int));
		return n;
	}
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), passed, sizeof(int));
	return sendmsg(fd, &msg, 0);
}

ssize_t
write_fd(int fd, const void *ptr, size_t nbytes, int sendfd)
{
	return call(fd, (void *)ptr, nbytes, &sendfd, 0);
}

ssize_t
read_fd(int fd, void *ptr, size_t nbytes, int *recvfd)
{
	return call(fd, ptr, nbytes, recvfd, 1);
}
`
)

// besideC is a program that passes a descriptor by pass and by scm, and prints
// whether the received descriptor is close-on-exec.
func besideC(ldflags string) string {
	return `package main

// #cgo LDFLAGS: ` + ldflags + `
// #include "book.h"
import "C"

import (
	"fmt"
	"syscall"

	"github.com/scm-rights/scm"
)

func main() {
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	book := C.pass(C.int(p[0]), C.int(p[1]), 0)
	if _, err := scm.WriteFD(p[0], []byte("x"), 0); err != nil {
		panic(err)
	}
	_, fd, err := scm.ReadFD(p[1], make([]byte, 1))
	if err != nil {
		panic(err)
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	if errno != 0 {
		panic(errno)
	}
	fmt.Printf("book: %d, scm: %d, %s\n", book, flags, scm.Backend)
}
`
}

// stateProgram prints what a process has at the start of main: its environment,
// its signals, its limits, its descriptors and its goroutines.
func stateProgram(packages []string) string {
	text := "package main\n\n"
	for _, p := range packages {
		text += fmt.Sprintf("import _ %q\n", p)
	}
	return text + `
import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	fmt.Println(runtime.NumGoroutine(), "goroutines")
	fmt.Println(strings.Join(os.Environ(), "\n"))
	for _, name := range []string{"status", "limits"} {
		text, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			panic(err)
		}
		for line := range strings.Lines(string(text)) {
			if name == "limits" || strings.HasPrefix(line, "Sig") && !strings.HasPrefix(line, "SigQ") {
				fmt.Print(line)
			}
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	fmt.Println(len(files), "descriptors", err)
}
`
}

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

// deviceCompiler fails where its output is a device, and makes an empty file otherwise.
const deviceCompiler = `#!/bin/sh
out=a.out
while [ $# -gt 0 ]; do
	[ "$1" != -o ] || out=$2
	shift
done
if [ -c "$out" ]; then
	echo "the output is $out" >&2
	exit 1
fi
: >"$out"
`
