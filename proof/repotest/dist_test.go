//go:build linux && !purego && !scm_purego

package repotest

import (
	"debug/elf"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
)

// distVariable is an environment variable with the directory that make dist wrote. make proof-release sets it.
const distVariable = "SCM_DIST"

// sourceArchive is the source of the C library, and archiveOf the archive for an architecture.
const sourceArchive = "scm_rights-*.tar.gz"

func archiveOf(arch string) string { return "scm-*-linux-" + arch + ".tar.gz" }

// unpacked unpacks the archive with this name into a new directory, and returns its folder.
func unpacked(pattern string) string {
	GinkgoHelper()
	found := ok(filepath.Glob(filepath.Join(os.Getenv(distVariable), pattern)))
	Expect(found).To(HaveLen(1), pattern)
	dir := GinkgoT().TempDir()
	output(exec.Command("tar", "-C", dir, "-xf", found[0]))
	return filepath.Join(dir, strings.TrimSuffix(filepath.Base(found[0]), ".tar.gz"))
}

// bare returns a command that finds no other program.
func bare(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=/nonexistent"}
	return cmd
}

// peersOf returns the names of the peers in the cases of a report.
func peersOf(file string) map[string]bool {
	GinkgoHelper()
	names := map[string]bool{}
	for _, c := range ok(report.Read(file)).Cases {
		for _, name := range strings.Split(c.Name, "/")[3:] {
			names[name] = true
		}
	}
	return names
}

var _ = Describe("make dist", Label("dist"), func() {
	BeforeEach(func() {
		if os.Getenv(distVariable) == "" {
			Skip("make proof-release runs these specs")
		}
	})

	It("writes the checksums of all its files", func() {
		cmd := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
		cmd.Dir = os.Getenv(distVariable)
		checked := strings.Count(output(cmd), ": OK\n")
		Expect(ok(filepath.Glob(cmd.Dir + "/*"))).To(HaveLen(checked + 1))
	})

	It("writes archives in which each program is static and each folder of licences has a text", func() {
		archives := ok(filepath.Glob(filepath.Join(os.Getenv(distVariable), archiveOf("*"))))
		Expect(archives).NotTo(BeEmpty())
		for _, archive := range archives {
			dir := unpacked(filepath.Base(archive))
			machines := map[elf.Machine]bool{}
			for _, name := range filesBelow(dir) {
				if !strings.HasPrefix(contents(dir+name), "\x7fELF") {
					continue
				}
				program := ok(elf.Open(dir + name))
				machines[program.Machine] = true
				Expect(program.ImportedLibraries()).To(BeEmpty(), name)
				for _, p := range program.Progs {
					Expect(p.Type).NotTo(Equal(elf.PT_INTERP), name)
				}
				program.Close()
			}
			Expect(machines).To(HaveLen(1), archive)
			Expect(contents(dir + "/LICENSE")).To(Equal(contents("LICENSE")))
			for _, folder := range []string{"glibc", "go", "golang.org/x/sys"} {
				Expect(ok(os.ReadDir(dir + "/licenses/" + folder))).NotTo(BeEmpty())
			}
			Expect(contents(dir + "/licenses/glibc/version")).To(MatchRegexp(`^Debian source package glibc, version 2\.\S+\n$`))
		}
	})

	DescribeTable("writes an archive that needs no other program", func(arch string, expected ...string) {
		if runtime.GOARCH != "amd64" {
			Skip("these archives are for amd64 machines")
		}
		try := filepath.Join(GinkgoT().TempDir(), "tryarchive")
		build := exec.Command("go", "build", "-C", "proof", "-o", try, "./tryarchive")
		build.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
		output(build)
		dir := unpacked(archiveOf(arch))
		output(bare(try, dir))

		var listed []string
		for _, b := range ok(peers.ReadList(dir + "/peers/peers.json")) {
			listed = append(listed, b.Name)
		}
		Expect(listed).To(Equal(peers.Names()))

		file := dir + "/report.json"
		output(bare(dir+"/scm", "interop", "run", "--peers", dir+"/peers/peers.json", "--run", "basics/pass-one-fd", "--report", file))
		ran := peersOf(file)
		for _, name := range expected {
			Expect(ran).To(HaveKey(name))
		}
	},
		Entry(nil, "amd64", "csrc", "csrc-pair", "book", "libc", "nix", "rustix", "sendfd", "scm-purego"),
		Entry(nil, "386", "csrc", "csrc-pair", "book", "scm-purego"),
	)

	It("writes an archive with which docs/testing-a-library.md and the action need no Go", func() {
		if runtime.GOARCH != "amd64" {
			Skip("the page names the archive for amd64")
		}
		version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(unpacked(archiveOf("amd64"))), "scm-"), "-linux-amd64")
		files := http.StripPrefix("/v"+version, http.FileServer(http.Dir(os.Getenv(distVariable))))
		server := httptest.NewServer(files)
		DeferCleanup(server.Close)
		u := newCIUser("c")
		u.env = []string{"RELEASE=" + server.URL + "/v" + version, "SCM_RELEASES=" + server.URL, "RUNNER_TEMP=" + u.dir, "PATH=" +
			linked("awk", "bash", "cat", "cc", "as", "ld", "curl", "cut", "dirname", "env", "grep", "gzip", "head", "make", "mkdir", "mktemp", "od", "rm", "sed", "sh", "sha256sum", "tar", "tr", "uname")}
		status, out := u.run("go version")
		Expect(status).To(Equal(127), out)
		release, template, smoke, run := regexp.MustCompile(`scm-[0-9.]+-linux`).ReplaceAllLiteralString(u.blocks[1], "scm-"+version+"-linux"), u.blocks[2], u.blocks[3], u.blocks[4]
		u.must(release)
		u.must(template)
		fillC(u)
		u.must("make peer")
		Expect(u.must(smoke)).To(ContainSubstring("mine: ok, "))
		status, out = u.run(strings.TrimSuffix(run, "\n")+` "$@"`, "--run=basics/**/mine", "--builtin=false")
		Expect(status).To(Equal(0), out)
		ran := peersOf(u.dir + "/report.json")
		for _, name := range []string{"csrc", "book", "libc", "nix", "rustix", "sendfd", "mine"} {
			Expect(ran).To(HaveKey(name))
		}

		status, out = u.runAction("BUILTIN=false", "RUN=basics/**/mine", "EXPECT=")
		Expect(status).To(Equal(0), out)
		Expect(peersOf(u.dir + "/scm-interop/report.json")).To(And(HaveKey("csrc"), HaveKey("nix"), HaveKey("mine")))
		status, out = u.runAction("BUILTIN=false", "RUN=basics/**/mine", "EXPECT=", "WITH=rust glib")
		Expect(status).To(Equal(4), out)
		Expect(out).To(ContainSubstring("--with glib: not in the archive for amd64"))
	})

	It("writes an image in which a static peer from a mounted directory runs, without a network", func() {
		fdtest.NeedRoot(GinkgoTB(), "run podman here")
		for _, program := range []string{"podman", "runc"} {
			fdtest.Program(GinkgoTB(), program)
		}
		if runtime.GOARCH != "amd64" {
			Skip("make proof-release builds the image for amd64 machines")
		}
		dir := GinkgoT().TempDir()
		podman := func(args ...string) string {
			GinkgoHelper()
			args = append([]string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}, args...)
			return strings.TrimSpace(string(ok(exec.Command("podman", args...).Output())))
		}
		image := ok(filepath.Glob(filepath.Join(os.Getenv(distVariable), "scm-*-image.tar")))
		Expect(image).To(HaveLen(1))
		_, name, found := strings.Cut(podman("load", "-q", "-i", image[0]), "Loaded image: ")
		Expect(found).To(BeTrue())
		root := podman("image", "mount", name)
		DeferCleanup(func() { podman("image", "unmount", "--all") })
		Expect(ok(os.ReadDir(root))).To(HaveLen(2), "scm and tmp")

		output(exec.Command("cp", unpacked(archiveOf("amd64"))+"/peers/csrc", dir+"/peer"))
		output(exec.Command("runc", "spec", "--bundle", dir))
		var spec struct {
			Process, Root map[string]any
			Mounts        []map[string]any
			Rest          map[string]any `json:"-"`
		}
		text := []byte(contents(dir + "/config.json"))
		Expect(json.Unmarshal(text, &spec)).To(Succeed())
		Expect(json.Unmarshal(text, &spec.Rest)).To(Succeed())
		Expect(text).To(ContainSubstring(`"type": "network"`), "a network of its own, which is empty")
		spec.Process["args"] = []string{"/scm/scm", "interop", "run", "--peers", "/scm/peers/peers.json", "--peer", "mine=./peer",
			"--run", "basics/pass-one-fd", "--report", "report.json"}
		spec.Process["cwd"] = "/mine"
		spec.Process["terminal"] = false
		delete(spec.Process, "rlimits") // the limit of open files would be 1,024
		spec.Root["path"] = root
		spec.Rest["process"], spec.Rest["root"] = spec.Process, spec.Root
		spec.Rest["mounts"] = append(spec.Mounts, map[string]any{"destination": "/mine", "source": dir, "options": []string{"bind"}},
			map[string]any{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
		Expect(os.WriteFile(dir+"/config.json", ok(json.Marshal(spec.Rest)), 0o600)).To(Succeed())
		output(exec.Command("runc", "--root", dir+"/runc", "run", "--bundle", dir, "scm-dist-check-"+filepath.Base(dir)))
		Expect(peersOf(dir + "/report.json")).To(And(HaveKey("mine"), HaveKey("book"), HaveKey("nix"), HaveKey("scm-purego")))
	})

	It("writes the source of the C library, which builds with make alone", func() {
		dir := unpacked(sourceArchive)
		install := exec.Command("make", "-C", dir, "install", "PREFIX="+dir+"/usr")
		install.Env = newcomer()
		output(install)
		user := exec.Command("sh", "-euc", `
			export PKG_CONFIG_PATH="$PWD/usr/lib/pkgconfig" LD_LIBRARY_PATH="$PWD/usr/lib"
			printf '#include <scm_rights.h>\nint main(void) { char byte; int file; return read_fd(-1, &byte, 1, &file) != -1; }\n' >user.c
			cc user.c $(pkg-config --cflags --libs scm_rights) -o shared
			cc -static user.c $(pkg-config --static --cflags --libs scm_rights) -o static
			./shared; ./static; ldd shared; ! ldd static`)
		user.Dir = dir
		user.Env = newcomer()
		Expect(output(user)).To(ContainSubstring(dir + "/usr/lib/libscm_rights.so.0"))
		Expect(ok(os.ReadDir(filepath.Dir(dir)))).To(HaveLen(1), "it builds inside its own folder")
	})

	It("writes files without a trace of where they were built", func() {
		for _, archive := range ok(filepath.Glob(filepath.Join(os.Getenv(distVariable), "*.tar*"))) {
			listed := strings.Split(strings.TrimSpace(output(exec.Command("tar", "--full-time", "--utc", "-tvf", archive))), "\n")
			for _, line := range listed {
				Expect(line).To(MatchRegexp(`^\S+ 0/0 +\d+ 2000-01-01 00:00:00 `), archive)
			}
		}
		home := ok(os.UserHomeDir())
		for _, archive := range ok(filepath.Glob(filepath.Join(os.Getenv(distVariable), archiveOf("*")))) {
			dir := unpacked(filepath.Base(archive))
			for _, name := range filesBelow(dir) {
				text := contents(dir + name)
				Expect(strings.Contains(text, ok(os.Getwd()))).To(BeFalse(), name)
				Expect(len(home) > 1 && strings.Contains(text, home+"/")).To(BeFalse(), name)
			}
		}
	})

	It("writes the same bytes in another directory, whose files have other permissions", func() {
		if os.Getenv("CI") == "true" {
			Skip("takes as long as all the others; the spec above finds the usual reasons in CI")
		}
		copied := GinkgoT().TempDir()
		output(exec.Command("sh", "-euc", `umask 077; git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar --no-same-permissions -xf - -C "$0"`, copied))
		dist := exec.Command("tools/dist.sh", "386")
		dist.Dir = copied
		dist.Env = newcomer()
		output(dist)
		for _, pattern := range []string{archiveOf("386"), sourceArchive} {
			files := ok(filepath.Glob(filepath.Join(copied, "build/dist", pattern)))
			Expect(files).To(HaveLen(1))
			output(exec.Command("cmp", files[0], filepath.Join(os.Getenv(distVariable), filepath.Base(files[0]))))
		}
	})
})
