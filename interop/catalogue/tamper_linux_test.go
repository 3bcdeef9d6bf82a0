package catalogue_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop"
)

// honest is a peer that is right in everything, in a process of its own.
func honest(t *testing.T) *interop.Peer {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../peers/fakes")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := interop.Program("honest", program)
	if err := p.Probe(interop.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// text is a transcript as it is written.
func text(t *testing.T, s *interop.Scenario) []string {
	t.Helper()
	b, err := os.ReadFile(s.Name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// A tampered transcript has one answer in the place of another.
type tampered struct {
	scenario *interop.Scenario
	line     int
	answer   string
}

// tamper puts each wrong answer in the place of each right one. What is no
// transcript any more, as the rest needs a name that the right answer had, is left out.
func tamper(t *testing.T, s *interop.Scenario) (list []tampered) {
	t.Helper()
	lines := text(t, s)
	for _, st := range s.Steps {
		if st.Kind != interop.StepHear {
			continue
		}
		before := len(list)
		for _, wrong := range wrongAnswers(s, st) {
			changed := slices.Clone(lines)
			head, _, _ := strings.Cut(lines[st.Line-1], " ")
			changed[st.Line-1] = head + " " + wrong
			for i := range st.Wants[1:] {
				changed[st.Line+i] = "" // the alternatives stand directly below
			}
			if bad, err := interop.ParseScenario(s.Name, []byte(strings.Join(changed, "\n"))); err == nil {
				list = append(list, tampered{bad, st.Line, wrong})
			}
		}
		if len(list) == before {
			t.Errorf("%s:%d: nothing wrong can be put in the place of this answer", s.Name, st.Line)
		}
	}
	return list
}

var (
	count   = regexp.MustCompile(`\bn=(\d+)`)
	payload = regexp.MustCompile(`\bpayload=[0-9a-f]{2}`)
	fds     = regexp.MustCompile(`\bfds=([a-z0-9]+),([a-z0-9]+)`)
	one     = regexp.MustCompile(`\bfds=([a-z0-9]+)(:[a-z0-9]+)?( |$)`)
	label   = regexp.MustCompile(`:[a-z][a-z0-9]*`) // only what the number is called later
	flags   = regexp.MustCompile(`\bflags=\S+`)
)

// wrongAnswers are those of the other lines, and what is right but in one thing.
func wrongAnswers(s *interop.Scenario, st interop.Step) (wrong []string) {
	right := st.Wants[0].Text
	add := func(answer string) {
		same := func(w interop.Want) bool {
			return label.ReplaceAllString(w.Text, "") == label.ReplaceAllString(answer, "")
		}
		if !slices.ContainsFunc(st.Wants, same) && !slices.Contains(wrong, answer) {
			wrong = append(wrong, answer)
		}
	}
	for _, other := range s.Steps {
		if other.Kind == interop.StepHear {
			add(other.Wants[0].Text)
		}
	}
	add("err EUSERS")
	add(count.ReplaceAllStringFunc(right, func(field string) string {
		n, _ := strconv.Atoi(field[len("n="):])
		return "n=" + strconv.Itoa(n+1)
	}))
	add(payload.ReplaceAllString(right, "payload=5a"))
	add(flags.ReplaceAllString(right, "flags=oob"))
	add(fds.ReplaceAllString(right, "fds=$2,$1"))
	for _, f := range s.Files {
		add(one.ReplaceAllString(right, "fds="+f.Name+"$2$3"))
	}
	add(one.ReplaceAllString(right, "fds=-$3"))
	return wrong
}

// Every scenario is passed by who is right, and no answer in it is there in vain: a
// wrong one in its place is noticed, at that line.
func TestEveryAnswerMatters(t *testing.T) {
	p := honest(t)
	lies := map[string]tampered{} // by the names of their cases
	var right, wrong []interop.Case
	for _, s := range scenarios(t) {
		for _, socketType := range s.Types {
			right = append(right, interop.Case{Scenario: s, Type: socketType, A: p, B: p})
		}
		for i, lie := range tamper(t, s) {
			lie.scenario.Name += "-" + strconv.Itoa(i)
			c := interop.Case{Scenario: lie.scenario, Type: s.Types[0], A: p, B: p}
			lies[c.Name()] = lie
			wrong = append(wrong, c)
		}
	}
	for _, r := range interop.Run(context.Background(), right, nil, interop.Options{Jobs: 2}).Results {
		if r.Verdict != interop.Pass {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	t.Logf("%d scenarios, %d wrong answers in them", len(scenarios(t)), len(wrong))
	for _, r := range interop.Run(context.Background(), wrong, nil, interop.Options{Jobs: 2}).Results {
		lie := lies[r.Name]
		if r.Verdict != interop.Fail || !slices.ContainsFunc(r.Findings, func(f interop.Finding) bool {
			return f.Line == lie.line && (f.Check == interop.CheckAnswer || f.Check == interop.CheckFile)
		}) {
			t.Errorf("%s:%d: %q is not noticed: %s: %s%v", lie.scenario.Name, lie.line, lie.answer, r.Verdict, r.Why, r.Findings)
		}
	}
}
