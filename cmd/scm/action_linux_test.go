package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/report"
)

// actionCommand returns the step of a CI server, which writes its files to the directory. By default, it does not run
// the built-in peers, and finds a built scm. With builds, it builds scm as from a checkout.
func actionCommand(t *testing.T, dir string, inputs ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: neither the user nor the backend matters to the script")
	}
	fdtest.Program(t, "bash")
	script, err := filepath.Abs("../../interop/action.sh")
	fdtest.Must(t, err)
	folder := t.TempDir() // the script removes it
	fdtest.Must(t, os.Symlink(program(t, "scm"), filepath.Join(folder, "scm")))
	cmd := exec.Command(script)
	cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_STEP_SUMMARY="+dir+"/summary", "GITHUB_OUTPUT="+dir+"/output",
		"REPORTS="+dir+"/reports", "SCM_FOLDER="+folder, "PEERS=", "WITH=", "RUN=", "SKIP=", "EXPECT=", "BUILTIN=false")
	cmd.Env = append(cmd.Env, inputs...)
	return cmd
}

// builds is an input that makes the action build scm.
const builds = "SCM_FOLDER="

// The action reads its inputs from the environment, one item per line, and writes its results to
// files.
func TestAction(t *testing.T) {
	t.Parallel()
	fake := program(t, "faulty")
	dir := t.TempDir()
	for _, c := range []struct {
		what    string
		inputs  []string
		code    int
		summary string // how it starts
		reports int
	}{
		{"as expected", []string{builds, "PEERS=good=" + fake + "\nbad=" + fake + " --fault cloexec\n", "RUN=basics/pass-one-fd\n\n basics/echo-back/stream \r\n",
			"SKIP=**/dgram/**", "EXPECT=" + write(t, "** cloexec@bad it is a fake")}, 0, "## scm interop: as expected\n", 4},
		{"not as expected", []string{"PEERS=bad=" + fake + " --fault cloexec", "RUN=basics/pass-one-fd"}, 1, "## scm interop: **not as expected**\n", 4},
		{"no case has a verdict", []string{"PEERS=good=" + fake, "SKIP=**"}, 3, "## scm interop: **nothing ran**\n", 4},
		{"a peer is broken", []string{"PEERS=bad=false", "RUN=basics/pass-one-fd"}, 4, "## scm interop: **did not run: peer bad", 4},
		{"a run that does not start removes the reports of the one before", []string{"RUN=a//b"}, 2, "", 0},
		{"and so does one whose scm cannot be built", []string{builds, "GOFLAGS=-no-such-flag"}, 4, "", 0},
		{"without a directory for its programs", []string{builds, "RUNNER_TEMP=" + dir + "/none"}, 4, "", 0},
		{"without a directory", []string{"REPORTS="}, 2, "", 0},
	} {
		r := finish(t, actionCommand(t, dir, c.inputs...))
		if got := contents(t, dir+"/output"); r.code != c.code || got != fmt.Sprintf("status=%d\n", c.code) {
			t.Errorf("%s: the outputs are %q, got %v, want exit status %d in both", c.what, got, r, c.code)
		}
		summary, _ := os.ReadFile(dir + "/summary")
		if !strings.HasPrefix(string(summary), c.summary) || c.summary == "" && len(summary) > 0 {
			t.Errorf("%s: the summary is %q", c.what, summary)
		}
		if reports, err := os.ReadDir(dir + "/reports"); err != nil || len(reports) != c.reports {
			t.Errorf("%s: got the reports %v, %v; want %d", c.what, reports, err, c.reports)
		}
		if c.code == 0 {
			whole, err := report.Read(dir + "/reports/report.json")
			if err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			if whole.Totals.Expected == 0 || whole.Totals.Pass == 0 {
				t.Errorf("%s: got the totals %+v, want passes and expected failures", c.what, whole.Totals)
			}
			for _, r := range whole.Cases {
				if strings.Contains(r.Name, "/dgram/") {
					t.Errorf("%s: ran %s", c.what, r.Name)
				}
			}
		}
		_ = os.Remove(dir + "/output")
		_ = os.Remove(dir + "/summary") // a run without a report writes no summary
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}

}

// The directory of the reports can begin with "-".
func TestActionWithDash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := actionCommand(t, dir, "PEERS=bad="+program(t, "faulty")+" --fault cloexec", "RUN=basics/pass-one-fd/stream/runner/bad", "REPORTS=-rep")
	cmd.Dir = dir
	r := finish(t, cmd)
	m := actionOutput.FindStringSubmatch(r.text())
	if r.code != 1 || m == nil || !strings.HasPrefix(m[4], "::error title=scm interop%3A cloexec@bad ×1::") {
		t.Errorf("got %v, want exit status 1 and an annotation for cloexec@bad", r)
	}
	if summary := contents(t, dir+"/summary"); !strings.Contains(summary, "scm interop replay ./-rep/report.json#basics/pass-one-fd/stream/runner/bad\n") {
		t.Errorf("the summary is %s", summary)
	}
}

// actionOutput matches the output of the action: the token, what scm printed, and the annotations.
var actionOutput = regexp.MustCompile(`(?s)^::stop-commands::([0-9a-f]{32})\n(.*)\n::([0-9a-f]{32})::\n((?:::error [^\n]*\n)*)$`)

// The CI server obeys no workflow command in the output of a peer, also not on standard error. The
// annotations after it are those of the action.
func TestActionWithForgedCommands(t *testing.T) {
	t.Parallel()
	ended := "read -r l; printf 'woe\\n::error::forged\\n' >&2; exit 1\n"
	garbage := "while read -r l; do case $l in hello) echo ok name=x can=stream lang=::error::forged;; *sock*) printf '::error::forged%%0A::add-mask::x ##[error]y\\r\\n';; *) echo unsupported;; esac; done\n"
	for _, c := range []struct {
		what, peer string
		code       int
		printed    string
		annotation string
	}{
		{"a peer that ends", ended, 4, "\n| ::error::forged", "::error title=scm interop::did not run: peer x: the peer ended: exit status 1; standard error: woe, ::error::forged\n"},
		{"a peer that answers garbage", garbage, 1, `"::error::forged%0A::add-mask::x #\x23[error]y\r"`,
			`::error title=scm interop%3A contract@x ×1::not text: "::error::forged%250A::add-mask::x #\x23[error]y\r" (for example basics/pass-one-fd/stream/runner/x)` + "\n"},
	} {
		dir := t.TempDir()
		r := finish(t, actionCommand(t, dir, "PEERS=x=sh "+write(t, c.peer), "RUN=basics/pass-one-fd/stream/runner/x"))
		m := actionOutput.FindStringSubmatch(r.text())
		if r.code != c.code || m == nil || m[1] != m[3] || strings.Contains(m[2], m[1]) || !strings.Contains(m[2], c.printed) || m[4] != c.annotation {
			t.Errorf("%s: exit status %d, got\n%s\nmatched %q", c.what, r.code, r.text(), m)
		}
		if summary, _ := os.ReadFile(dir + "/summary"); strings.Contains(string(summary), "::") || len(summary) == 0 {
			t.Errorf("%s: the summary is %q", c.what, summary)
		}
	}
}

// Files of expected failures are relative to the workspace. An expected failure that does not occur is annotated.
func TestActionSummary(t *testing.T) {
	t.Parallel()
	fake := program(t, "faulty")
	dir := t.TempDir()
	fdtest.Must(t, os.WriteFile(dir+"/mine.txt", []byte("# Mine.\n** leak@good:receives it leaked once\n"), 0o600))
	cmd := actionCommand(t, dir, "PEERS=good="+fake+"\nbad="+fake+" --fault cloexec\n", "RUN=basics/pass-one-fd/stream/runner/*", "GITHUB_WORKSPACE="+dir, "EXPECT=mine.txt")
	cmd.Dir = dir
	r := finish(t, cmd)
	m := actionOutput.FindStringSubmatch(r.text())
	if r.code != 1 || m == nil {
		t.Fatalf("got %v, want exit status 1 and annotations", r)
	}
	const want = "::error file=mine.txt,line=2,title=scm interop%3A unexpected pass ×"
	if n := strings.Count(m[4], "\n"); n != 2 || !strings.Contains(m[4], want) {
		t.Errorf("%d annotations\n%s", n, m[4])
	}
	summary := contents(t, dir+"/summary")
	replay := "scm interop replay --expect mine.txt " + dir + "/reports/report.json#"
	for _, want := range []string{"\n| `cloexec@bad` | ", replay, "report.html` shows every case"} {
		if !strings.Contains(summary, want) {
			t.Errorf("no %q in the summary\n%s", want, summary)
		}
	}
}

// A line without a finished reason ends the run before the first case, and is annotated.
func TestActionWithUnfinishedReasons(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "# ? is not a reason.\n** leak@good it leaks: why?\n** leak@good ?\n  **\t{leak,file}@good:receives  flaky: ? sometimes\n" + strings.Repeat("** hang@good ? hangs\n", 20)
	fdtest.Must(t, os.WriteFile(dir+"/a,b.txt", []byte(text), 0o600))
	for _, file := range []string{"a,b.txt", dir + "/a,b.txt"} {
		cmd := actionCommand(t, dir, "PEERS=good="+program(t, "faulty"), "GITHUB_WORKSPACE="+dir, "EXPECT="+file+"\n\n/no/such/file\n")
		cmd.Dir = dir
		r := finish(t, cmd)
		m := actionOutput.FindStringSubmatch(r.text())
		if r.code != 2 || m == nil {
			t.Fatalf("%s: got %v, want exit status 2 and annotations", file, r)
		}
		lines := strings.Split(strings.TrimSuffix(m[4], "\n"), "\n")
		const first = "::error title=scm interop::no case was run (exit status 2); the log of this step shows why"
		const start = "::error file=a%2Cb.txt,line="
		if len(lines) != 10 || lines[0] != first || !strings.HasPrefix(lines[1], start+"3,title=scm interop%3A unfinished reason::") || !strings.HasPrefix(lines[2], start+"4,") {
			t.Errorf("%s: got\n%s", file, m[4])
		}
	}
}

// The action builds peers from a checkout, and runs them with the built-in peers and one of the user. If this checkout
// is inside a user's module, the action ignores the user's go.work and GOFLAGS.
func TestActionBuildsPeers(t *testing.T) {
	t.Parallel()
	for _, need := range []string{"git", "make", "cc", "python3"} {
		fdtest.Program(t, need)
	}
	dir, module := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"go.mod": "module mine\n", "go.work": "go 1.25\n\nuse .\n"} {
		fdtest.Must(t, os.WriteFile(filepath.Join(module, name), []byte(text), 0o600))
	}
	peer := pythonPeer(t, "class Mine(Mine):\n    def library_send(self, *_):\n        return None\n") // no count, and therefore a wrong answer
	r := finish(t, actionCommand(t, dir, builds, "WITH=csrc python\nno-such", "BUILTIN=true", "PEERS=mine="+peer, "RUN=basics/pass-one-fd/stream/mine",
		"GOWORK="+module+"/go.work", "GOFLAGS=-mod=vendor -buildvcs=auto -ldflags=-w",
		"GIT_TEST_ASSUME_DIFFERENT_OWNER=1")) // git rejects a checkout that belongs to another user
	if r.code != 1 {
		t.Fatalf("got %v, want exit status 1", r)
	}
	summary, page := contents(t, dir+"/summary"), contents(t, dir+"/reports/report.html")
	for _, want := range []string{"contract@mine", "no-such.*no such peer"} {
		if !regexp.MustCompile(want).MatchString(summary) {
			t.Errorf("%s is not in the summary\n%s", want, summary)
		}
	}
	for _, want := range []string{"<th>csrc<td>c<td>", "<th>python<td>python<td>", "<th>xsys<td>go<td>", "<th>mine<td>python<td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not in report.html\n%s", want, page)
		}
	}
}

// A CI server cancels a step with a signal to its process. The run ends, and still writes its reports.
func TestActionCancelled(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	p := &started{t: t, cmd: actionCommand(t, dir, "PEERS="+slowPeer(file, program(t, "faulty")))}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = &p.stdout, &p.stderr, time.Minute
	fdtest.Must(t, p.cmd.Start())
	peer := waitFor(t, file)
	fdtest.Must(t, p.cmd.Process.Signal(syscall.SIGINT))
	if r := p.wait(); r.code != 143 || contents(t, dir+"/output") != "status=143\n" || !ended(t, peer) {
		t.Errorf("got %v, want exit status 143, also in the outputs, and no peer left", r)
	}
	if r, err := report.Read(dir + "/reports/report.json"); err != nil || r.Cut != "terminated" {
		t.Errorf("the report: got %+v, %v; want it cut short by terminated", r, err)
	}
	if got := contents(t, dir+"/summary"); !strings.Contains(got, " cases: terminated.\n") {
		t.Errorf("the summary is %q", got)
	}
}

// The action downloads the programs of a release and checks them. It builds them only if there is no release of its own
// version, or if the user asks for that.
func TestActionDownload(t *testing.T) {
	for _, need := range []string{"curl", "tar", "sha256sum"} {
		fdtest.Program(t, need)
	}
	dir := t.TempDir()
	const name = "scm-1.2.3-linux-"
	shell := `cd "$0"; mkdir -p v1.2.3 broken/v1.2.3 other/v1.2.3 cut/v1.2.3 x; echo '#!/bin/sh' >x/scm; tar -czf all.tar.gz x
for a in 386 amd64 arm arm64 ppc64le riscv64 s390x; do cp all.tar.gz v1.2.3/` + name + `$a.tar.gz; done
cp v1.2.3/* broken/v1.2.3; cp v1.2.3/* other/v1.2.3; (cd v1.2.3; sha256sum * >SHA256SUMS; cp SHA256SUMS ../broken/v1.2.3; : >../other/v1.2.3/SHA256SUMS)
for f in broken/v1.2.3/scm*; do echo woe >>$f; head -c 20 all.tar.gz >cut/v1.2.3/${f##*/}; done; cd cut/v1.2.3; sha256sum * >SHA256SUMS`
	if out, err := exec.Command("sh", "-euc", shell, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/forbidden/") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	gone := httptest.NewServer(files)
	gone.Close()
	for _, c := range []struct {
		what, url, version, output string
	}{
		{"a release", server.URL, "1.2.3", "folder=" + dir + "/tmp/scm-"},
		{"a release by the name of its tag", server.URL, "v1.2.3", "folder=" + dir + "/tmp/scm-"},
		{"no such release", server.URL, "1.2.4", "status=4\n"},
		{"no release of this version", server.URL, "", "source=yes\n"},
		{"the source", gone.URL, "source", "source=yes\n"},
		{"no server", gone.URL, "1.2.3", "status=4\n"},
		{"a server that refuses", server.URL + "/forbidden", "1.2.3", "status=4\n"},
		{"a wrong checksum", server.URL + "/broken", "1.2.3", "status=4\n"},
		{"an archive that tar rejects", server.URL + "/cut", "1.2.3", "status=4\n"},
		{"no archive for this machine", server.URL + "/other", "1.2.3", "status=4\n"},
	} {
		cmd := actionCommand(t, dir, "RUNNER_TEMP="+dir+"/tmp", "SCM_RELEASES="+c.url, "VERSION="+c.version)
		fdtest.Must(t, os.MkdirAll(dir+"/tmp", 0o700))
		cmd.Path = filepath.Join(filepath.Dir(cmd.Path), "action-get.sh")
		r := finish(t, cmd)
		got := contents(t, dir+"/output")
		if !strings.HasPrefix(got, c.output) || (r.code == 4) != (got == "status=4\n") || r.code != 4 && r.code != 0 {
			t.Errorf("%s: the outputs are %q, got %v, want %s", c.what, got, r, c.output)
		}
		if folder, ok := strings.CutPrefix(strings.TrimSpace(got), "folder="); ok && contents(t, folder+"/scm") != "#!/bin/sh\n" {
			t.Errorf("%s: %s has no scm", c.what, folder)
		}
		_ = os.Remove(dir + "/output")
	}
}

// Each input of the action reaches the script, and the script reads no other.
func TestActionInputs(t *testing.T) {
	find := func(in, form string) (names []string) {
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(in, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	inputs, rest, _ := strings.Cut(contents(t, "../../action.yml"), "\noutputs:\n")
	declared := find(inputs, `(?m)^  ([a-z]+):$`)
	passed := find(rest, `(?m)^        ([A-Z]+): \$\{\{ inputs\.[a-z]+ \}\}$`)
	read := find(contents(t, "../../interop/action-get.sh")+contents(t, "../../interop/action.sh"), `\$\{?([A-Z]+)\b`)
	if len(declared) == 0 || !slices.Equal(declared, passed) || !slices.Equal(declared, read) {
		t.Errorf("declared %v, passed %v, read %v", declared, passed, read)
	}
}
