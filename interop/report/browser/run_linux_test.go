package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// binaries is the folder of the programs that the tests start.
var binaries string

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries != "" {
		_ = os.RemoveAll(binaries)
	}
	os.Exit(code)
}

// programs builds scm and the faulty peers once.
var programs = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "scm-browser-")
	if err != nil {
		return err
	}
	binaries = dir
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binaries+"/", "./cmd/scm", "./interop/peers/faulty")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// A play is a run, in the folder of its reports.
type play struct {
	*report.Report // as its JSON form has it
	dir, page      string
}

// hostile is what a peer says to be more than text on the page.
const hostile = `</script><b>x<img src="x.png" onerror="ran=1"><script>ran=1</script><!--`

// liar is a peer that knows streams alone, and always says that.
const liar = `while read -r verb rest; do
	case $verb in
	hello) echo ok name=liar lang=sh version=1 can=stream ;;
	use | close | end) echo ok ;;
	send | recv) echo 'err lib ` + hostile + `' ;;
	*) echo unsupported ;;
	esac
done
`

// once is a peer that starts the first time, when the runner only says hello.
const once = `test ! -e "$0.started" && : > "$0.started" && exec "$1"`

// expected is what is known to fail, and one that does not.
const expected = `basics/pass-*/**/known cloexec@known it is a fake
basics/pass-one-fd/stream/good/good leak@good it was so once
`

// scenarios are played: one of peers that all of them know, one that not all know, and
// two of the kernel.
var scenarios = []string{"basics/pass-one-fd", "basics/pass-two-fds", "basics/fd-lowest-free-number", "blocking/accept-blocks"}

// run plays scenarios with peers that are right, wrong as is known, wrong, dying,
// lying, and gone when the first case begins, and one that is not there.
func run(t *testing.T, more ...string) play {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	p := play{dir: t.TempDir()}
	p.page = filepath.Join(p.dir, "a page.html") // a name that has to be quoted, in an address and for a shell
	for name, text := range map[string]string{
		"liar.sh":  liar,
		"once.sh":  once,
		"expected": expected,
		"peers":    `[{"name": "gone", "why": "no compiler </script><b>x"}]`,
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	fake := filepath.Join(binaries, "faulty")
	args := []string{"interop", "run", "--builtin=false", "--trace", "--expect", "expected", "--peers", "peers",
		"--peer", "good=" + fake, "--peer", "known=" + fake + " --fault cloexec", "--peer", "sloppy=" + fake + " --fault cloexec",
		"--peer", "dying=" + fake + " --fault die", "--peer", "liar=sh " + filepath.Join(p.dir, "liar.sh"),
		"--peer", "once=sh " + filepath.Join(p.dir, "once.sh") + " " + fake,
		"--report", p.page, "--report", "the report.json"}
	for _, s := range scenarios {
		args = append(args, "--run", s)
	}
	cmd := exec.Command(filepath.Join(binaries, "scm"), append(args, more...)...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v, want exit status 1\n%s", err, out)
	}
	if p.Report, err = report.Read(filepath.Join(p.dir, "the report.json")); err != nil {
		t.Fatal(err)
	}
	return p
}

// square is where on the page a case is: TYPE/SENDER/RECEIVER.
func square(c scenario.Result) string {
	return strings.Join(strings.Split(c.Name, "/")[2:], "/")
}

// squares are the cases of each square, in the order of the report.
func (p play) squares() map[string][]scenario.Result {
	all := map[string][]scenario.Result{}
	for _, c := range p.Cases {
		all[square(c)] = append(all[square(c)], c)
	}
	return all
}

// there are the peers that are.
func (p play) there() []string {
	var names []string
	for _, peer := range p.Peers {
		if peer.NotRun == "" {
			names = append(names, peer.Name)
		}
	}
	return names
}

// ranks are the verdicts in the order in which a reader needs them.
var ranks = []scenario.Verdict{scenario.Fail, scenario.Fixed, scenario.Flaky, scenario.NotRun, scenario.Expected, scenario.Pass, scenario.Unsupported}

// ranked is the order in which a square shows its cases.
func ranked(cases []scenario.Result) []scenario.Result {
	cases = slices.Clone(cases)
	slices.SortStableFunc(cases, func(a, b scenario.Result) int {
		return slices.Index(ranks, a.Verdict) - slices.Index(ranks, b.Verdict)
	})
	return cases
}

// show is what a scenario begins with: its rule, and where that comes from.
func show(t *testing.T, name string) []string {
	t.Helper()
	out, err := exec.Command(filepath.Join(binaries, "scm"), "interop", "show", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	for _, l := range strings.Split(string(out), "\n") {
		text, ok := strings.CutPrefix(l, "#")
		if !ok {
			break
		}
		head = append(head, strings.TrimSpace(text))
	}
	return head
}
