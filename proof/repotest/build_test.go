//go:build linux && !purego && !scm_purego

package repotest

import (
	"errors"
	"fmt"
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
)

// These specs build programs that use the library, with every combination of build options.

var _ = Describe("the build", Label("build"), func() {
	It("returns ErrUnsupported on a system without descriptor passing (js/wasm)", func() {
		runner := filepath.Join(goTool{}.variable("GOROOT"), "lib/wasm/go_js_wasm_exec")
		fdtest.Program(GinkgoTB(), "node")
		if _, err := os.Stat(runner); err != nil {
			fdtest.Missing(GinkgoTB(), "go_js_wasm_exec", err.Error())
		}
		for _, p := range []string{".", "./fdchannel", "./handover"} {
			out := goTool{env: []string{"GOOS=js", "GOARCH=wasm"}}.must("test", "-v", "-run", "TestUnsupported", "-exec", runner, p)
			Expect(out).To(ContainSubstring("--- PASS: TestUnsupported"))
		}
	})

	Describe("of a consumer", func() {
		var g goTool
		BeforeEach(func() { g = goTool{dir: consumer()} })

		DescribeTable("uses", func(backend string, c bool, env []string, tags string) {
			if c {
				needsCompiler()
			}
			goroot := goTool{}.variable("GOROOT")
			for _, v := range env {
				g.env = append(g.env, strings.ReplaceAll(v, "GOROOT", goroot))
			}
			g.must("vet", "-tags", tags, ".")
			Expect(g.must("run", "-tags", tags, ".")).To(Equal(backend + "\n"))
		},
			Entry("the cgo backend if there is a C compiler", "cgo", true, nil, ""),
			Entry("the Go backend without a compiler in PATH", "purego", false, []string{"PATH=GOROOT/bin", "CC="}, ""),
			Entry("the Go backend with CGO_ENABLED=0", "purego", false, []string{"CGO_ENABLED=0"}, ""),
			Entry("the Go backend with the tag scm_purego, even if cgo is enabled", "purego", true, []string{"CGO_ENABLED=1"}, "scm_purego"),
			Entry("the Go backend with the tag purego", "purego", true, []string{"CGO_ENABLED=1"}, "purego"),
		)

		// The list of files shows it: in the standard library, the tag purego excludes assembly.
		It("keeps the assembly code of crypto with the tag scm_purego", func() {
			g.env = []string{"GOARCH=amd64"}
			files := func(tag string) string {
				return g.must("list", "-deps", "-tags", tag, "-f", "{{if .Standard}}{{.ImportPath}} {{.GoFiles}} {{.SFiles}}{{end}}", "crypto/tls")
			}
			plain := files("")
			Expect(plain).To(MatchRegexp(`(?m)^crypto/\S* .*\.s\]$`))
			Expect(files("scm_purego")).To(Equal(plain))
			Expect(files("purego")).NotTo(Equal(plain))
		})

		It("does not import crypto/tls through package scm", func() {
			Expect(strings.Fields(g.must("list", "-deps", module))).NotTo(ContainElement("crypto/tls"))
		})

		It("links the functions of csrc, but no symbol of csrc with the tag scm_purego", func() {
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
			pure := symbols("-tags", "scm_purego")
			Expect(pure).To(ContainSubstring(module + "/internal/pure."))
			Expect(pure).NotTo(ContainSubstring(module + "/csrc"))
			Expect(ofC.FindAllString(pure, -1)).To(BeEmpty())
		})

		DescribeTable("exports no symbol of csrc to other C code, and prefixes every symbol that it defines:",
			func(file string, args ...string) {
				needsCompiler()
				bin := filepath.Join(g.dir, file)
				g.must(append(append([]string{"build", "-o", bin}, args...), ".")...)
				global, shown := cSymbols(bin)
				Expect(global).To(ContainElement("scm_rights_go_read_fd"), "the symbols were not read")
				for _, name := range global {
					if strings.HasPrefix(name, "scm_rights_go_") {
						Expect(shown).NotTo(ContainElement(name))
					} else {
						Expect(name).NotTo(MatchRegexp("^(read_fd|write_fd|scm_)"), "csrc/cgo_names.h does not rename it")
					}
				}
			},
			func(file string, args ...string) string { return strings.Join(append([]string{file}, args...), " ") },
			Entry(nil, "consumer"),
			Entry(nil, "consumer.so", "-buildmode=c-shared"),
			Entry(nil, "consumer.a", "-buildmode=c-archive"),
		)

		DescribeTable("does not replace the read_fd and write_fd of", func(ldflags, calls string, prepare func(), args ...string) {
			needsCompiler()
			prepare()
			g.writeFiles(map[string]string{"book.h": bookHeader, "main.go": strings.ReplaceAll(programWithC, "EXTRA", ldflags)})
			bin := filepath.Join(g.dir, "consumer")
			g.must(slices.Concat([]string{"build", "-o", bin}, args, []string{"."})...)
			backend := "cgo"
			if len(args) > 0 {
				backend = "purego"
			}
			Expect(output(exec.Command(bin))).To(Equal("book: " + calls + ", scm: 1 " + backend + "\n"))
			if calls == "1 1" {
				Expect(g.must("tool", "nm", bin)).To(And(MatchRegexp(" read_fd(@|$|\\n)"), ContainSubstring(" scm_rights_go_read_fd\n")))
			}
		},
			Entry("the program's own C code", "", "7 8", func() { g.writeFiles(map[string]string{"book.c": bookSource}) }),
			Entry("a shared library", libbook, "7 8", func() { g.buildSharedLibrary() }),
			Entry("a shared library, in the Go backend", libbook, "7 8", func() { g.buildSharedLibrary() }, "-tags=scm_purego"),
			Entry("the installed libscm_rights, shared", "-L${SRCDIR}/usr/lib -lscm_rights -Wl,-rpath,${SRCDIR}/usr/lib", "1 1",
				func() { csrc{build: GinkgoT().TempDir()}.must("install", "PREFIX="+g.dir+"/usr") }),
			Entry("the installed libscm_rights, static", "-g ${SRCDIR}/usr/lib/libscm_rights.a", "1 1",
				func() { csrc{build: GinkgoT().TempDir()}.must("install", "PREFIX="+g.dir+"/usr") }),
		)

		DescribeTable("changes nothing in a process that only imports it",
			func(args ...string) {
				needsCompiler()
				ours := publicPackages()
				// Compare with a program that imports the same standard packages: package os raises RLIMIT_NOFILE, for
				// example.
				standard := strings.Fields(g.must(slices.Concat([]string{"list", "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}"}, args, ours)...))
				standard = slices.DeleteFunc(standard, func(p string) bool {
					return strings.Contains(p, "internal") || strings.HasPrefix(p, "vendor/") || p == "runtime/cgo"
				})
				bin := filepath.Join(g.dir, "consumer")
				state := func(packages []string) string {
					g.writeFiles(map[string]string{"main.go": stateProgram(packages)})
					g.must(slices.Concat([]string{"build", "-o", bin}, args, []string{"."})...)
					out := output(exec.Command(bin))
					Expect(out).To(And(ContainSubstring("SigCgt:"), ContainSubstring("Max open files"), ContainSubstring("1 goroutines")))
					return out
				}
				without := state(standard)
				Expect(state(append(ours, standard...))).To(Equal(without))
				Expect(g.must("tool", "nm", bin)).NotTo(MatchRegexp(`(?m) `+module+`(/\w+)*\.init\.\d+$`), "an init function")
			},
			func(args ...string) string { return strings.Join(append([]string{"build"}, args...), " ") },
			Entry(nil),
			Entry(nil, "-tags", "scm_purego"),
		)

		It("works after go mod vendor, which keeps the C files", func() {
			g.must("mod", "vendor")
			for _, pattern := range []string{"*.c", "*.h"} {
				here := ok(filepath.Glob(filepath.Join("csrc", pattern)))
				Expect(here).NotTo(BeEmpty())
				for _, name := range here {
					Expect(filepath.Join(g.dir, "vendor", module, name)).To(BeAnExistingFile())
				}
			}
			Expect(g.must("run", "-mod=vendor", "-tags", "scm_purego", ".")).To(Equal("purego\n"))
			needsCompiler()
			Expect(g.must("run", "-mod=vendor", ".")).To(Equal("cgo\n"))
		})

		It("keeps its go line, and vendors only scm and x/sys", func() {
			if _, stderr, err := g.run("mod", "tidy"); err != nil {
				fdtest.Missing(GinkgoTB(), "Go modules", "the modules that tests need cannot be downloaded: "+strings.TrimSpace(stderr))
			}
			Expect(string(ok(os.ReadFile(filepath.Join(g.dir, "go.mod"))))).To(ContainSubstring("\ngo 1.24.0\n"))
			g.must("mod", "vendor")
			list := string(ok(os.ReadFile(filepath.Join(g.dir, "vendor", "modules.txt"))))
			Expect(regexp.MustCompile(`(?m)^# \S+`).FindAllString(list, -1)).To(ContainElements("# "+module, "# golang.org/x/sys"))
			Expect(regexp.MustCompile(`(?m)^# \S+ v`).FindAllString(list, -1)).To(HaveLen(2))
		})

		It("needs neither a requirement nor a replacement in a workspace", func() {
			g.writeFiles(map[string]string{"go.mod": "module example.org/consumer\n\ngo 1.24\n"})
			g.must("work", "init", ".", ok(os.Getwd()))
			Expect(g.must("run", "-tags", "scm_purego", ".")).To(Equal("purego\n"))
		})

		DescribeTable("can build the library with", func(toolchain string, get ...string) {
			g.env = []string{"GOTOOLCHAIN=" + toolchain, "GOFLAGS=-mod=mod"}
			for _, args := range [][]string{{"version"}, append([]string{"get"}, get...)} {
				if _, stderr, err := g.run(args...); err != nil {
					fdtest.Missing(GinkgoTB(), "Go modules", "cannot be downloaded: "+strings.TrimSpace(stderr))
				}
			}
			// vet would check the tests too, which compiles the modules that they need.
			g.must(append([]string{"build", "."}, publicPackages()...)...)
			Expect(g.must("run", "-tags", "scm_purego", ".")).To(Equal("purego\n"))
		},
			Entry("the oldest Go, and the oldest x/sys that it requires", "go1.24.0"),
			Entry("this Go, and the newest x/sys", "local", "golang.org/x/sys@latest"),
		)
	})

	// Some compilers remove their output first, and would replace /dev/null with a file.
	It("never compiles to a device, and leaves no temporary file", func() {
		bin, tmp := linked("make", "sh", "bash", "sed", "head", "dirname", "go", "mktemp", "rm", "cat", "awk", "id"), GinkgoT().TempDir()
		cc := filepath.Join(bin, "cc")
		Expect(os.WriteFile(cc, []byte(deviceCompiler), 0o755)).To(Succeed())
		run := func(name string, args ...string) string {
			cmd := exec.Command(filepath.Join(bin, name), args...)
			// Without apt-get in PATH the script installs nothing.
			cmd.Env = append(fdtest.WithoutMake(), "PATH="+bin, "CC="+cc, "TMPDIR="+tmp)
			out := output(cmd)
			Expect(filesBelow(tmp)).To(BeEmpty())
			return out
		}
		Expect(run("make", "-C", "csrc", "-n", "CC="+cc, "BUILD="+bin+"/build")).To(ContainSubstring(" -fstack-clash-protection "))
		Expect(run("bash", "tools/setup", "test")).NotTo(ContainSubstring("a C compiler"))
	})

	// musl-gcc links the sanitizers of another libc.
	It("skips the tests under sanitizers if a program with sanitizers does not start", func() {
		dir := GinkgoT().TempDir()
		cc := filepath.Join(dir, "cc")
		Expect(os.WriteFile(cc, []byte(`#!/bin/sh
case $* in *-fsanitize*)
	while [ "$1" != -o ]; do shift; done
	printf '#!/bin/sh\nexit 127\n' >"$2" && chmod +x "$2" ;;
esac
`), 0o755)).To(Succeed())
		cmd := exec.Command("make", "-C", "csrc", "test-asan", "CC="+cc, "BUILD="+dir)
		cmd.Env = append(fdtest.WithoutMake(), "CI=")
		Expect(output(cmd)).To(ContainSubstring("ok 1 - test-asan # SKIP missing: sanitizers: " + cc + " has none that work\n"))
	})

	It("fails as make setup-c, but not for another target, if a C compiler is still missing", func() {
		bin := linked("make", "sh", "bash", "sed", "head", "dirname", "go", "mktemp", "rm", "cat", "awk", "id")
		run := func(args ...string) (string, error) {
			cmd := exec.Command(filepath.Join(bin, "make"), args...)
			cmd.Env = append(fdtest.WithoutMake(), "PATH="+bin, "CC=false")
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := run("setup-c")
		Expect(err).To(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("missing: a C compiler"))
		out, err = run("--eval=other: setup-c", "other")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("continuing without a C compiler"))
	})

	It("names the oldest Go that it can use, if this Go is older", func() {
		_, version, _ := strings.Cut(contents("go.mod"), "\ngo ")
		version, _, _ = strings.Cut(version, ".0\n")
		run := func(release string) (string, error) {
			tool := filepath.Join(GinkgoT().TempDir(), "go")
			Expect(os.WriteFile(tool, []byte("#!/bin/sh\necho go version "+release+" linux/amd64\n"), 0o755)).To(Succeed())
			cmd := exec.Command("make", "-n", "peers", "GO="+tool)
			cmd.Env = fdtest.WithoutMake()
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := run("go1.19.8")
		Expect(err).To(HaveOccurred())
		Expect(out).To(MatchRegexp(`^\S+ \*\*\* scm needs Go ` + version + ` or newer, and this is go version go1\.19\.8 linux/amd64\.  Stop\.\n$`))
		for _, release := range []string{"go" + version, "devel go1.99-abc"} {
			out, err := run(release)
			Expect(err).NotTo(HaveOccurred(), out)
		}
	})

	It("rejects a value of PEERS that it does not know", func() {
		cmd := exec.Command("make", "-n", "interop", "PEERS=al")
		cmd.Env = fdtest.WithoutMake()
		out, err := cmd.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(HaveSuffix("PEERS is al; want all or few.  Stop.\n"))
	})

	Describe("of the C library", func() {
		var to string
		var c csrc
		BeforeEach(func() {
			needsCompiler()
			to = GinkgoT().TempDir()
			c = csrc{build: to + "/a b c", env: []string{"CDPATH=" + to + "/elsewhere"}}
		})

		DescribeTable("installs below a folder, writes its name to the pkg-config file, and uninstalls all files", func(name, written, gone string) {
			dest, prefix := to+"/to here", "/opt/"+name
			args := []string{"DESTDIR=" + dest, "PREFIX=" + prefix, "LIBDIR=" + prefix + "/lib 64"}
			c.must("install", args...)
			Expect(filesBelow(dest)).To(ContainElements(prefix+"/include/scm_rights.h", prefix+"/lib 64/libscm_rights.a",
				prefix+"/lib 64/libscm_rights.so", prefix+"/share/man/man3/scm_rights_recv.3", prefix+"/share/man/man7/scm_rights.7"))
			pc := dest + prefix + "/lib 64/pkgconfig"
			Expect(contents(pc + "/scm_rights.pc")).To(And(ContainSubstring("prefix=/opt/"+written+"\n"), ContainSubstring("libdir=/opt/"+written+"/lib\\ 64\n")))
			fdtest.Program(GinkgoTB(), "pkg-config")
			cmd := exec.Command("sh", "-c", `eval "printf '%s' $(pkg-config --cflags scm_rights)"`)
			cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+pc)
			Expect(output(cmd)).To(Equal("-I" + prefix + "/include"))
			Expect(os.RemoveAll(dest + prefix + gone)).To(Succeed())
			c.must("uninstall", args...)
			Expect(filesBelow(dest)).To(BeEmpty())
		},
			Entry("with a space", "a b", `a\ b`, "/none"),
			Entry("after a part was removed", "usr", "usr", "/lib 64"),
		)

		It("installs manual pages that man finds, with an overview that refers to each of the others", func() {
			c.must("install", "DESTDIR="+to, "PREFIX=/usr")
			pages := filesBelow(to + "/usr/share/man")
			Expect(pages).To(HaveLen(5))
			fdtest.Program(GinkgoTB(), "man")
			show := func(name string) string {
				cmd := exec.Command("man", "-M", to+"/usr/share/man", "-P", "cat", name)
				cmd.Env = append(os.Environ(), "MANWIDTH=80")
				return output(cmd)
			}
			overview := show("scm_rights")
			Expect(overview).To(ContainSubstring("C library that passes open files over Unix sockets"))
			for _, page := range pages {
				name := strings.TrimSuffix(filepath.Base(page), filepath.Ext(page))
				Expect(show(name)).To(ContainSubstring(name))
				Expect(name == "scm_rights" || strings.Contains(overview, name+"(3)")).To(BeTrue(), name)
			}
		})

		DescribeTable("prints TAP, in which a program", func(script, cases, verdict string, passes bool) {
			program := filepath.Join(to, "program")
			Expect(os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700)).To(Succeed())
			out, err := exec.Command("sh", "csrc/test/run.sh", to, "test (cc)", "", program).Output()
			plan, _, _ := strings.Cut(string(out), "\n# test (cc): ")
			Expect(plan).To(Equal("TAP version 14\n# Subtest: test/program\n" + cases + verdict))
			Expect(err == nil).To(Equal(passes))
		},
			Entry("passes", "echo 'ok 1 - a'; echo 1..1", "    ok 1 - a\n    1..1\n", "ok 1 - test/program\n1..1", true),
			Entry("fails", "echo 'not ok 1 - a'; echo 1..1; exit 1", "    not ok 1 - a\n    1..1\n", "not ok 1 - test/program # exit status 1\n1..1", false),
			Entry("ends early", "echo 'ok 1 - a'", "    ok 1 - a\n", "not ok 1 - test/program # it ended after 1 cases\n1..1", false),
			Entry("crashes in the middle of a line", "printf 'ok 1'; exit 139", "    ok 1\n", "not ok 1 - test/program # exit status 139\n1..1", false),
			Entry("prints a result as an error", "echo 'ok 7 - b' >&2; echo 'ok 1 - a'; echo 1..1", "    # ok 7 - b\n    ok 1 - a\n    1..1\n", "ok 1 - test/program\n1..1", true),
			Entry("skips all its cases", "echo 'ok 1 - a # SKIP no b'; echo 1..1", "    ok 1 - a # SKIP no b\n    1..1\n",
				"ok 1 - test/program # SKIP every case was skipped\nnot ok 2 - test # every program was skipped\n1..2", false),
		)

		It("accepts CFLAGS with quotes", func() {
			flags := `CFLAGS=-O1 -DX='a b' -DY="c d"`
			Expect(c.must("all", flags, "exports")).To(ContainSubstring(" -c -o "))
			Expect(contents(c.build + "/flags")).To(ContainSubstring(strings.TrimPrefix(flags, "CFLAGS=")))
			Expect(c.must("all", flags, "exports")).NotTo(ContainSubstring(" -c -o "), "built again with the same flags")
		})

		DescribeTable("builds with CFLAGS for", func(flags string) {
			source := to + "/probe.c"
			Expect(os.WriteFile(source, []byte("#include <errno.h>\n#include <sys/socket.h>\nint main(void) { return 0; }\n"), 0o600)).To(Succeed())
			probe := exec.Command(goTool{}.variable("CC"), append(strings.Fields(flags), "-o", to+"/probe", source)...)
			if out, err := probe.CombinedOutput(); err != nil {
				fdtest.Missing(GinkgoTB(), "compiler for "+flags, "the compiler does not support "+flags+"\n"+string(out))
			}
			c.env = []string{"CI="} // skip the check of the manual pages if there is no mandoc
			c.must("all", "CFLAGS="+flags, "exports", "man")
		},
			Entry("hidden functions", "-O1 -fvisibility=hidden"),
			Entry("another architecture", "-O1 -m32 -I/usr/include/x86_64-linux-gnu"),
		)

		It("does not follow CDPATH when it uninstalls from a relative folder", func() {
			folder := ok(filepath.Abs("csrc"))
			relative := ok(filepath.Rel(folder, to))
			// cd looks for lib in the folders of CDPATH first.
			Expect(os.MkdirAll(to+"/elsewhere/lib", 0o755)).To(Succeed())
			Expect(os.WriteFile(to+"/elsewhere/lib/libscm_rights.a", nil, 0o644)).To(Succeed())
			c.must("uninstall", "PREFIX="+relative, "LIBDIR=lib")
			Expect(to + "/elsewhere/lib/libscm_rights.a").To(BeAnExistingFile())
		})
	})

	It("is not affected by a header of the user with the name of one of its own", func() {
		needsCompiler()
		folder := GinkgoT().TempDir()
		Expect(os.WriteFile(folder+"/cgo.h", []byte("#error not the library's\n"), 0o644)).To(Succeed())
		goTool{env: []string{"CGO_CFLAGS=-I" + folder}}.must("build", "./csrc")
	})

	It("passes descriptors in a 386 program on amd64", func() {
		if runtime.GOARCH != "amd64" {
			Skip("only amd64 runs 386 programs natively")
		}
		dir := consumer()
		goTool{dir: dir, env: []string{"CGO_ENABLED=0", "GOARCH=386"}}.must("build", "-o", "consumer", ".")
		out, err := exec.Command(filepath.Join(dir, "consumer")).CombinedOutput()
		if errors.Is(err, unix.ENOEXEC) {
			Skip("this kernel cannot run 386 programs")
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(string(out)).To(Equal("purego\n"))
	})
})

// A recipe that does not quote the path of the tree fails there.
var _ = DescribeTable("the Makefiles run in a directory named", Label("tree"), func(name string) {
	tree, bin := filepath.Join(GinkgoT().TempDir(), name), GinkgoT().TempDir()
	Expect(os.Rename(checkout(), tree)).To(Succeed())
	for _, program := range []string{bin + "/go", bin + "/gofmt", tree + "/tools/setup", tree + "/tools/dist.sh", tree + "/build/scm", tree + "/build/gotestsum",
		tree + "/build/lint/vet", tree + "/build/lint/staticcheck", tree + "/build/lint/actionlint",
		tree + "/build/venv/bin/check-jsonschema", tree + "/build/venv/bin/zizmor"} {
		Expect(os.MkdirAll(filepath.Dir(program), 0o700)).To(Succeed())
		Expect(os.WriteFile(program, []byte(wholePaths), 0o755)).To(Succeed())
	}
	Expect(os.WriteFile(tree+"/kernel", nil, 0o600)).To(Succeed())
	run := func(args ...string) {
		cmd := exec.Command("make", append(args, "SETUP=0", "GOTEST=true")...)
		cmd.Dir = tree
		cmd.Env = append(fdtest.WithoutMake(), "CI=", "PATH="+bin+":"+os.Getenv("PATH"), "TREE="+tree)
		output(cmd)
	}
	for _, junit := range []string{"JUNIT=", "JUNIT=build/junit"} {
		run("test", "test-rest", "check-parts", "check-fast", "proof-test", "proof-bsd", "KERNEL=kernel", junit)
	}
	run("interop", "lint-go", "lint-systems", "lint-modules", "lint-workflows", "proof-identity", "proof-torture", "proof-targets",
		"proof-kernels", "proof-systemd", "proof-release", "FULL=1")
},
	Entry(nil, "a b"),
	Entry(nil, "it's"),
	Entry(nil, "a$x"),
)

var _ = It("make test-purego tests internal/pure, also if there is a C compiler", Label("tree"), func() {
	needsCompiler()
	cmd := exec.Command("make", "test-purego", "GOTEST=echo", "JUNIT=", "AS_USER=")
	cmd.Env = fdtest.WithoutMake()
	Expect(output(cmd)).To(MatchRegexp(" " + module + `/internal/pure\s`))
})

// wholePaths is a program in place of the go command and others. It fails if an argument has a part of the tree's path.
const wholePaths = `#!/bin/sh
for argument; do
	case $argument in
	*"$TREE"*) ;;
	*"${TREE%/*}"*)
		echo "$0: argument $argument"
		exit 1
		;;
	esac
done
case $*: in
list*) echo github.com/scm-rights/scm/package ;;
version:) echo go version go1.99 ;;
"env CGO_ENABLED:") echo 1 ;;
esac
`

// cSymbols returns the names of the C functions and variables that a program or archive defines: in global those that
// its C files share, and in shown those that are visible to other C code.
func cSymbols(name string) (global, shown []string) {
	GinkgoHelper()
	dynamic, linked := false, filepath.Ext(name) != ".a"
	for line := range strings.Lines(output(exec.Command("readelf", "--wide", "--symbols", name))) {
		if strings.HasPrefix(line, "Symbol table") {
			dynamic = strings.Contains(line, ".dynsym")
		}
		f := strings.Fields(line) // number, value, size, type, binding, visibility, section, name
		if len(f) < 8 || f[3] == "FILE" || f[6] == "UND" || f[0] == "Num:" {
			continue
		}
		// Static functions are local. Once linked, what was hidden is local too, so only an archive shows a missing prefix.
		static := f[4] == "LOCAL" && !(linked && strings.HasPrefix(f[7], "scm_rights_go_"))
		if !dynamic && !static {
			global = append(global, f[7])
		}
		if dynamic || !static && !linked && f[5] != "HIDDEN" {
			shown = append(shown, f[7])
		}
	}
	return global, shown
}

// The C code of a program that uses scm. It defines functions with the names of UNP's two, which pass nothing.
const (
	bookHeader = `#include <sys/types.h>
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd);
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd);
`
	bookSource = `#include "book.h"
ssize_t write_fd(int fd, const void *ptr, size_t nbytes, int sendfd) { return 7; }
ssize_t read_fd(int fd, void *ptr, size_t nbytes, int *recvfd) { return 8; }
`
	libbook = "-L${SRCDIR}/lib -lbook -Wl,-rpath,${SRCDIR}/lib"
)

// buildSharedLibrary builds a shared library with the functions.
func (g goTool) buildSharedLibrary() {
	GinkgoHelper()
	g.writeFiles(map[string]string{"book.h": bookHeader, "lib/book.c": bookSource})
	cmd := exec.Command(goTool{}.variable("CC"), "-shared", "-fPIC", "-I.", "-o", "lib/libbook.so", "lib/book.c")
	cmd.Dir = g.dir
	output(cmd)
}

// programWithC prints what write_fd and read_fd return, and passes a descriptor with scm.
const programWithC = `package main

// #cgo LDFLAGS: EXTRA
// #include "book.h"
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/scm-rights/scm"
)

func main() {
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	var b C.char
	var got C.int
	wrote := C.write_fd(C.int(p[0]), unsafe.Pointer(&b), 1, 0)
	read := C.read_fd(C.int(p[1]), unsafe.Pointer(&b), 1, &got)
	if _, err := scm.WriteFD(p[0], []byte("x"), 0); err != nil {
		panic(err)
	}
	n, fd, err := scm.ReadFD(p[1], make([]byte, 1))
	if err != nil || fd < 0 {
		panic(err)
	}
	fmt.Printf("book: %d %d, scm: %d %s\n", wrote, read, n, scm.Backend)
}
`

// stateProgram returns a program that imports the packages and prints its state at the start of main: the
// environment, signals, limits, descriptors and goroutines.
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

// deviceCompiler is a C compiler that fails if its output is a device. Otherwise it makes an empty file.
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
