package peers

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// builtVariable is an environment variable with the name of a list of peers. make interop sets it.
const builtVariable = "SCM_BUILT_PEERS"

// breakable returns the name of the peer of a language whose library is broken.
func breakable(l language) string {
	for _, s := range l.Peers {
		if s.Breakable {
			return s.Name
		}
	}
	return l.Peers[0].Name
}

// brokenCases selects, for each peer that receives descriptors, cases that it supports.
const brokenCases = "{basics/pass-one-fd,basics/pass-one-fd-zero-byte,payload/dgram-zero-byte-fd-delivered}/*/runner"

// If a library leaks a duplicate of each descriptor that it receives, its peer fails.
func TestBrokenLibraries(t *testing.T) {
	if os.Getenv(builtVariable) == "" {
		t.Skip("make interop runs this test, with the peers that it has built")
	}
	built, err := ReadList(os.Getenv(builtVariable))
	fdtest.Must(t, err)
	dir := t.TempDir()
	object := compileBroken(t, dir)
	var list []Built
	missing := map[string]Built{} // by language, the peer that was not built
	for _, l := range readRecords() {
		lang, name := l.lang, breakable(l)
		i := slices.IndexFunc(built, func(b Built) bool { return b.Name == name })
		switch {
		case i < 0:
			t.Errorf("%s: the list has no peer for it", lang)
		case built[i].Why != "":
			missing[lang] = built[i]
		case lang == "go":
			list = append(list, Built{Name: built[i].Name, Lang: lang, Command: []string{buildBrokenFDChannel(t, dir)}})
		default:
			command := append([]string{"env", "LD_PRELOAD=" + object}, built[i].Command...)
			list = append(list, Built{Name: built[i].Name, Lang: lang, Command: command})
		}
	}
	for lang, b := range missing {
		t.Run(lang, func(t *testing.T) { fdtest.Missing(t, cmp.Or(b.Lacks, b.Name), b.Name+": "+b.Obstacle()) })
	}
	cases := runBroken(t, dir, list)
	for _, b := range list {
		t.Run(b.Lang, func(t *testing.T) {
			ran, leaks := 0, 0
			for _, r := range cases {
				if strings.HasSuffix(r.Name, "/"+b.Name) && r.Verdict != scenario.Unsupported && r.Verdict != scenario.NotRun {
					ran++
				}
				for _, f := range r.Findings {
					if f.Peer == b.Name && f.Check == scenario.CheckLeak && !f.Expected && r.Verdict == scenario.Fail {
						leaks++
					}
				}
			}
			switch {
			case ran == 0:
				t.Errorf("no case ran with %s: add one that it supports to brokenCases", b.Name)
			case leaks == 0:
				t.Errorf("none of %d cases has an unexpected leak by %s; does it call libc's recvmsg?", ran, b.Name)
			}
		})
	}
}

// compileBroken compiles testdata/broken.c, and returns the name of the library.
func compileBroken(t *testing.T, dir string) string {
	t.Helper()
	_, cc, err := findTool(t.Context(), "cc")
	if err != nil {
		fdtest.Missing(t, fdtest.Compiler, err.Error())
	}
	object := filepath.Join(dir, "broken.so")
	mustRun(t, cc, "-std=c99", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", object, "testdata/broken.c")
	return object
}

// buildBrokenFDChannel builds the peer for gVisor's fdchannel with a faulty copy of that package, and returns the
// name of the program. Go programs do not call libc.
func buildBrokenFDChannel(t *testing.T, dir string) string {
	t.Helper()
	const module, folder, received = "gvisor.dev/gvisor", "pkg/fdchannel", "return int(*ep.cmsgData()), nil\n"
	out, err := exec.Command("go", "list", "-C", "go/libraries", "-m", "-f", "{{.Dir}}", module).Output()
	fdtest.Must(t, err)
	from, to, mod := strings.TrimSpace(string(out)), filepath.Join(dir, "module"), filepath.Join(dir, "go.mod")
	err = os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder)))
	for source, copied := range map[string]string{
		filepath.Join(from, "go.mod"): filepath.Join(to, "go.mod"), "go/libraries/go.mod": mod, "go/libraries/go.sum": filepath.Join(dir, "go.sum"),
	} {
		text, errRead := os.ReadFile(source)
		err = errors.Join(err, errRead, os.WriteFile(copied, text, 0o600))
	}
	file := filepath.Join(to, folder, "fdchannel_unsafe.go")
	text, errRead := os.ReadFile(file)
	fdtest.Must(t, errors.Join(err, errRead))
	if n := strings.Count(string(text), received); n != 1 {
		t.Fatalf("%s has %d lines %q, want 1", file, n, received)
	}
	faulty := strings.Replace(string(text), received, "_, _ = unix.FcntlInt(uintptr(*ep.cmsgData()), unix.F_DUPFD_CLOEXEC, 0)\n"+received, 1)
	fdtest.Must(t, os.WriteFile(file, []byte(faulty), 0o600))
	mustRun(t, "go", "mod", "edit", "-replace="+module+"="+to, mod)
	program := filepath.Join(dir, "fdchannel")
	mustRun(t, "go", "build", "-C", "go/libraries", "-modfile="+mod, "-o", program, "./fdchannel")
	return program
}

// runBroken runs brokenCases with the peers, and returns the results.
func runBroken(t *testing.T, dir string, list []Built) []scenario.Result {
	t.Helper()
	scm, peers, results := filepath.Join(dir, "scm"), filepath.Join(dir, "peers.json"), filepath.Join(dir, "report.json")
	fdtest.Must(t, WriteList(peers, list))
	mustRun(t, "go", "build", "-o", scm, "../../cmd/scm")
	out, err := exec.Command(scm, "interop", "run", "--builtin=false", "--peers", peers, "--run", brokenCases, "--report", results).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v, want exit status 1: %s", err, out)
	}
	r, err := report.Read(results)
	fdtest.Must(t, err)
	return r.Cases
}

func mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
