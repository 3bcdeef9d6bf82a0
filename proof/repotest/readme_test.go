//go:build linux && !purego && !scm_purego

package repotest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
)

var (
	readmeBlock = regexp.MustCompile("(?ms)^([^\n]*)\n\n?^```([a-z]+)\n(.*?)^```$")
	readmeFile  = regexp.MustCompile("as `([^`]+)`")
)

// pasted returns the blocks of README.md and then of docs/c.md as shell input. A block of another language becomes the
// file that the line above it names, unless it is an excerpt from one of the examples. A program in Go, and the block
// after it, get a new directory.
func pasted() (blocks []string) {
	GinkgoHelper()
	files, programs, elsewhere := 0, "", false
	for _, file := range filesBelow("examples") {
		programs += flat(contents("examples" + file))
	}
	all := readmeBlock.FindAllStringSubmatch(contents("README.md")+contents("docs/c.md"), -1)
	for i, m := range all {
		if m[2] == "sh" && elsewhere {
			elsewhere = false
			blocks = append(blocks, m[3], "cd \"$OLDPWD\"\n")
			continue
		}
		if m[2] == "sh" {
			// A test cannot run all tests. .ci/run does, with the command in README.md.
			blocks = append(blocks, strings.Replace(m[3], "\nmake test\n", "\nmake help | grep '^make test '\n", 1))
			continue
		}
		name := readmeFile.FindStringSubmatch(m[1])
		fragment := m[2] == "go" && !strings.HasPrefix(m[3], "package ") // another test parses it
		if name == nil && (fragment || strings.Contains(programs, flat(m[3]))) {
			continue
		}
		Expect(name).NotTo(BeNil(), "no name of a file before the block of %s, but %q", m[2], m[1])
		if m[2] == "go" {
			elsewhere = true
			blocks = append(blocks, "SCM=$PWD\ncd \"$(mktemp -d)\"\n")
		}
		blocks = append(blocks, fmt.Sprintf("cat >%s <<'END %d'\n%sEND %d\n", name[1], i, m[3], i))
		files++
	}
	Expect(files).To(Equal(2))
	return blocks
}

// cachedBuilds lets go build use the build cache in a copy of the tree, whose directory is always new. It leaves out
// debugging information, as make test does.
const cachedBuilds = "GOFLAGS=-trimpath -ldflags=-w"

// checkout returns a copy of the tree without the files that git ignores, and with an empty build directory.
func checkout() string {
	GinkgoHelper()
	tree := GinkgoT().TempDir()
	output(exec.Command("sh", "-ec", "git ls-files -z --cached --others --exclude-standard | xargs -0 cp -a --parents -t "+tree))
	Expect(os.Mkdir(tree+"/build", 0o777)).To(Succeed())
	return tree
}

// A pasteShell is an interactive shell into which blocks are pasted. Unlike a script it continues after an error, and
// after a variable that is not set.
type pasteShell struct {
	mark string // in the environment of every process that it starts
	in   io.Writer
	out  chan string // the lines of both outputs
}

// jobLine matches what an interactive shell prints about a process in the background.
var jobLine = regexp.MustCompile(`^\[\d+\][+-]? `)

func newPasteShell(dir string, env ...string) pasteShell {
	GinkgoHelper()
	s := pasteShell{mark: "SCM_PASTED=" + GinkgoT().TempDir(), out: make(chan string, 1000)}
	cmd := exec.Command("bash", "--norc", "--noediting", "-i")
	cmd.Dir = dir
	cmd.Env = append(append(newcomer(), s.mark, "PS1=", "PS2=", "HISTFILE="), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	cmd.Stdout, cmd.Stderr = w, w
	s.in = ok(cmd.StdinPipe())
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		for pid := range s.processes() {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		_ = cmd.Wait()
	})
	Expect(w.Close()).To(Succeed())
	go func() {
		defer close(s.out)
		defer r.Close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if !jobLine.MatchString(lines.Text()) {
				s.out <- lines.Text()
			}
		}
	}()
	s.paste("") // it prints that there is no job control
	return s
}

// newcomer returns the environment of a user who has set none of the variables of make, and no compiler.
func newcomer() []string {
	return slices.DeleteFunc(fdtest.WithoutMake(), func(v string) bool { return strings.HasPrefix(v, "CC=") })
}

// paste types a block, waits until the shell is ready for the next one, and returns the output.
func (s pasteShell) paste(block string) string {
	GinkgoHelper()
	const ready = "the shell is ready"
	ok(io.WriteString(s.in, block+"echo "+ready+"\n"))
	var printed strings.Builder
	for limit := time.After(5 * time.Minute); ; {
		select {
		case line, open := <-s.out:
			Expect(open).To(BeTrue(), "the shell has ended: %s\n%s", block, &printed)
			if line == ready {
				return printed.String()
			}
			fmt.Fprintln(&printed, line)
		case <-limit:
			Fail(fmt.Sprintf("this block does not end:\n%s\nprocesses: %v\nprinted:\n%s", block, s.processes(), &printed))
		}
	}
}

// processes returns the shell and all processes that it started, with their arguments.
func (s pasteShell) processes() map[int]string { return processesWith(s.mark) }

// processesWith returns the processes with this variable in their environment, and their arguments.
func processesWith(variable string) map[int]string {
	GinkgoHelper()
	found := map[int]string{}
	for _, file := range ok(filepath.Glob("/proc/[0-9]*/environ")) {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains("\x00"+string(text), "\x00"+variable+"\x00") {
			continue // it belongs to another user or has ended
		}
		pid := ok(strconv.Atoi(strings.Split(file, "/")[2]))
		arguments, _ := os.ReadFile(filepath.Dir(file) + "/cmdline")
		found[pid] = strings.ReplaceAll(string(arguments), "\x00", " ")
	}
	return found
}

// pathWithout returns a folder with links to all programs in PATH except those whose names match.
func pathWithout(without string) string {
	GinkgoHelper()
	dir, left := GinkgoT().TempDir(), regexp.MustCompile(without)
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		for _, file := range ok(filepath.Glob(from + "/*")) {
			if name := filepath.Base(file); !left.MatchString(name) {
				_ = os.Symlink(file, filepath.Join(dir, name)) // it fails for later programs with the same name
			}
		}
	}
	return dir
}

const (
	compilers  = `^(.*-)?(gcc|cc|c89|c99|clang|tcc|[cg]\+\+)(-[0-9.]+)?$`
	installers = `^(apt|apt-get|sudo)$`
)

// failingCompiler is a C compiler that makes programs that fail.
const failingCompiler = `#!/bin/sh
while [ $# -gt 0 ]; do
	if [ "$1" = -o ]; then
		printf '#!/bin/sh\necho no answer >&2; exit 1\n' >"$2"
		chmod +x "$2"
	fi
	shift
done
`

var _ = Describe("README", func() {
	It("works from top to bottom, and on to docs/c.md, each block pasted as it is", func() {
		needsCompiler()
		fdtest.Program(GinkgoTB(), "pkg-config")
		cmd := exec.Command("bash", "-c", "set -euo pipefail\n"+strings.Join(pasted(), ""))
		cmd.Dir = checkout()
		// Tests must not install anything.
		temporary := GinkgoT().TempDir()
		cmd.Env = append(fdtest.WithoutMake(), "SETUP=0", "TMPDIR="+temporary, cachedBuilds)
		out := output(cmd)
		Expect(strings.Count("\n"+out, "\nmodule example.com/pass\n")).To(Equal(1), "from Go:\n%s", out)
		Expect(strings.Count(out, "module "+module+"\n")).To(Equal(2), "from C, without and with pkg-config:\n%s", out)
		sums := ok(filepath.Glob(temporary + "/*/go.sum"))
		Expect(sums).To(HaveLen(1))
		Expect(contents(sums[0])).To(MatchRegexp(`^(golang\.org/x/sys .*\n)+$`), "the only module that the build downloads")
		Expect(out).To(ContainSubstring("\ncgo and pure Go: the same 4 system calls, 0 bytes differ\nmake test "))
	})

	DescribeTable("has blocks that all end, show the error and leave no process behind", func(without string, prepare func(bin string), first, last string, shown ...string) {
		bin := pathWithout(without + "|" + installers)
		prepare(bin)
		g := goTool{}
		s := newPasteShell(checkout(), cachedBuilds, "PATH="+bin, "HOME="+GinkgoT().TempDir(), "TMPDIR="+GinkgoT().TempDir(),
			"GOMODCACHE="+g.variable("GOMODCACHE"), "GOCACHE="+g.variable("GOCACHE"), "GOENV="+g.variable("GOENV"))
		var out string
		for _, block := range pasted() {
			out += s.paste(block)
			if strings.HasPrefix(block, "SCM=") {
				out += s.paste(first)
			}
			if last != "" && strings.Contains(block, last) {
				break
			}
		}
		for _, text := range shown {
			Expect(out).To(ContainSubstring(text))
		}
		// Background processes that wait for a partner give up after a few seconds.
		Eventually(s.processes).WithTimeout(time.Minute).Should(HaveLen(1), "the shell, and:\n%s", out)
	},
		Entry("without a C compiler", compilers, func(string) {}, "", "",
			"\nleft out, because no C compiler works: ", "\nmake test ", "setup: missing: a C compiler", "cc: ", "\nmodule example.com/pass\n"),
		Entry("if the C program fails", compilers, func(bin string) {
			Expect(os.WriteFile(filepath.Join(bin, "cc"), []byte(failingCompiler), 0o755)).To(Succeed())
		}, "", "csrc/read_fd.c", "no answer\n", "context deadline exceeded\n"),
		Entry("in another shell, where SCM is not set", `^$`, func(string) {}, "unset SCM\n", "",
			"bash: SCM: parameter null or not set\n"),
	)
})

var _ = Describe("docs/primer.md", func() {
	DescribeTable("has commands that end and leave no process behind", func(asTold bool) {
		fdtest.Program(GinkgoTB(), "python3")
		dir, bin := GinkgoT().TempDir(), GinkgoT().TempDir()
		goTool{}.must("build", "-o", bin, "./cmd/scm")
		if asTold {
			Expect(os.WriteFile(filepath.Join(dir, "file"), []byte("hello\n"), 0o666)).To(Succeed())
		}
		s := newPasteShell(dir, "PATH="+bin+":"+os.Getenv("PATH"))
		// PIDs and the inodes of sockets differ from those on the page.
		changing := strings.NewReplacer(dir, "/tmp/x")
		numbers := regexp.MustCompile(`(?m)^\d+( (?:sendmsg|recvmsg|exit)\b)|(socket:\[)\d+`)
		same := func(text string) string { return numbers.ReplaceAllString(changing.Replace(text), "N$1$2") }
		commands := 0
		for _, m := range regexp.MustCompile(`(?m)(?:^    .*\n)+`).FindAllString(contents("docs/primer.md"), -1) {
			var command, want string
			run := func() {
				if file, isFile := strings.CutPrefix(command, "cat "); isFile {
					Expect(os.WriteFile(filepath.Join(dir, strings.TrimSpace(file)), []byte(want), 0o666)).To(Succeed())
				}
				if command != "" {
					commands++
					if printed := s.paste(command); asTold {
						Expect(same(printed)).To(Equal(same(want)), command)
					}
				}
			}
			for line := range strings.Lines(m) {
				line = strings.TrimPrefix(line, "    ")
				if next, isCommand := strings.CutPrefix(line, "$ "); isCommand {
					run()
					command, want = next, ""
				} else {
					want += line
				}
			}
			run()
		}
		Expect(commands).To(BeNumerically(">=", 10))
		Eventually(s.processes).WithTimeout(time.Minute).Should(HaveLen(1), "the shell")
	},
		Entry("and print what the page says", true),
		Entry("if the file that they send is not there", false),
	)
})

// between returns the part of a text between two marks.
func between(text, from, to string) string {
	GinkgoHelper()
	_, rest, begins := strings.Cut(text, from)
	part, _, ends := strings.Cut(rest, to)
	Expect(begins && ends).To(BeTrue(), "nothing between %q and %q", from, to)
	return part
}
