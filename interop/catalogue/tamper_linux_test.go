package catalogue_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// honest returns a peer without faults, which runs in its own process, and the runner.
func honest(t *testing.T) (p, self *scenario.Peer) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../peers/faulty")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p = scenario.Program("honest", program)
	self, err := process.Runner()
	if err := errors.Join(err, process.Probe(p, process.DefaultTimeout)); err != nil {
		t.Fatal(err)
	}
	return p, self
}

// text returns the lines of a transcript.
func text(t *testing.T, s *scenario.Scenario) []string {
	t.Helper()
	b, err := catalogue.Text(s.Name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// A tampered transcript has one answer replaced by a wrong one.
type tampered struct {
	scenario *scenario.Scenario
	of       *scenario.Scenario // the original
	step     scenario.Step
	verb     string // of the command
	wrong
}

// A wrong answer, and the kind of fault in it.
type wrong struct{ answer, kind string }

// choose picks one of the wrong answers for each right one. It picks the kind that it has
// picked least for answers to the same verb, and the result is always the same.
func choose(all []tampered) (chosen []tampered) {
	taken := map[string]int{}
	key := func(lie tampered) string { return lie.kind + " " + lie.verb }
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].of == all[0].of && all[n].step.Line == all[0].step.Line {
			n++
		}
		least := slices.MinFunc(all[:n], func(a, b tampered) int { return cmp.Compare(taken[key(a)], taken[key(b)]) })
		alike := slices.DeleteFunc(slices.Clone(all[:n]), func(lie tampered) bool { return lie.kind != least.kind })
		chosen = append(chosen, alike[taken[key(least)]%len(alike)])
		taken[key(least)]++
		all = all[n:]
	}
	return chosen
}

// cast returns the peers for a scenario: the honest one, and the runner in the roles that a
// process of the runner always has.
func cast(s *scenario.Scenario, p, self *scenario.Peer) (a, b *scenario.Peer) {
	switch s.Play {
	case scenario.PlayKernel:
		return self.Kernel(), self.Kernel()
	case scenario.PlaySender:
		return p, self
	case scenario.PlayReceiver:
		return self, p
	}
	return p, p
}

// tamper replaces each right answer by each wrong one. If a later line needs a name that only
// the right answer defines, the scenario ends there. Invalid transcripts are left out.
func tamper(t *testing.T, s *scenario.Scenario) (list []tampered) {
	t.Helper()
	lines := text(t, s)
	verbs := map[scenario.Role]string{}
	for _, st := range s.Steps {
		if st.Kind != scenario.StepAnswer {
			verbs[st.Role] = st.Command.Verb
			continue
		}
		before := len(list)
		for _, wrong := range wrongAnswers(s, st) {
			changed := slices.Clone(lines)
			head, _, _ := strings.Cut(lines[st.Line-1], " ")
			changed[st.Line-1] = head + " " + wrong.answer
			for i := range st.Answers[1:] {
				changed[st.Line+i] = "" // the alternatives are directly below
			}
			bad, err := scenario.Parse(s.Name, []byte(strings.Join(changed, "\n")))
			if err != nil {
				bad, err = scenario.Parse(s.Name, []byte(strings.Join(changed[:st.Line], "\n")))
			}
			if err == nil {
				list = append(list, tampered{bad, s, st, verbs[st.Role], wrong})
			}
		}
		if len(list) == before {
			t.Errorf("%s:%d: there is no wrong answer to replace this one by", s.Name, st.Line)
		}
	}
	return list
}

var (
	count   = regexp.MustCompile(`\bn=(\d+)`)
	payload = regexp.MustCompile(`\bpayload=[0-9a-f]{2}`)
	fds     = regexp.MustCompile(`\bfds=([a-z0-9]+),([a-z0-9]+)`)
	one     = regexp.MustCompile(`\bfds=([a-z0-9]+)(:[a-z0-9]+)?( |$)`)
	label   = regexp.MustCompile(`:[a-z][a-z0-9]*`) // the name of the descriptor in later lines
	flags   = regexp.MustCompile(`\bflags=\S+`)
)

// contradicts reports whether two expected answers cannot both be true. Neither lists every
// field of the answer, except for descriptors.
func contradicts(answer, right string) bool {
	have, _ := contract.ParseLine(answer)
	want, _ := contract.ParseLine(right)
	if have.Verb != want.Verb || have.Verb == "err" {
		return have.Verb != want.Verb || len(have.Words) > 0 && !slices.Equal(have.Words, want.Words)
	}
	for _, key := range kernel.Vocabulary.FDFields() {
		one, two := label.ReplaceAllString(have.Fields[key], ""), label.ReplaceAllString(want.Fields[key], "")
		many := strings.Count(one, ",") != strings.Count(two, ",") || (one == "") != (two == "")
		if one != two && (many || !strings.Contains(one, "new")) {
			return true
		}
	}
	for key, one := range have.Fields {
		two, told := want.Fields[key]
		lacks := func(f string) bool { return !slices.Contains(strings.Split(two, ","), f) }
		if !told || one == two || one == "*" || slices.Contains(kernel.Vocabulary.FDFields(), key) {
			continue
		}
		if key != "flags" || slices.ContainsFunc(strings.Split(one, ","), lacks) {
			return true
		}
	}
	return false
}

// others are values to try in a field. For every field, at least one of them is valid and wrong.
var others = []string{"-", "99999999", "nval", "grow", "path", "cloexec", "abstract:wrong", "cmsg(9,9,-)", "creds(1,2,3)", "block", "01234", "-1", "yes", "no"}

// wrongAnswers returns the answers of the other lines, and the right answer with one fault each.
func wrongAnswers(s *scenario.Scenario, st scenario.Step) (list []wrong) {
	right := st.Answers[0].Text
	add := func(kind, answer string) {
		same := func(w scenario.Answer) bool {
			return label.ReplaceAllString(w.Text, "") == label.ReplaceAllString(answer, "")
		}
		if (s.RunByRunner(st.Role) || strings.Contains(answer, "=*")) && !contradicts(answer, right) { // "*" matches the right value too
			return
		}
		if !slices.ContainsFunc(st.Answers, same) && !slices.ContainsFunc(list, func(w wrong) bool { return w.answer == answer }) {
			list = append(list, wrong{answer, kind})
		}
	}
	for _, other := range s.Steps {
		// A scenario that goes through a table of lengths has too many other answers.
		near := max(st.Line-other.Line, other.Line-st.Line) <= 8
		if other.Kind == scenario.StepAnswer && (near || !s.RunByRunner(st.Role)) {
			add("of another line", other.Answers[0].Text)
		}
	}
	add("an error", "err EUSERS")
	if s.RunByRunner(st.Role) {
		for _, word := range strings.Fields(right)[1:] {
			key, _, ok := strings.Cut(word, "=")
			if !ok || slices.Contains(append(kernel.Vocabulary.FDFields(), "n", "payload", "flags"), key) {
				continue
			}
			for _, value := range others {
				add("a field", strings.Replace(right, word, key+"="+value, 1))
			}
		}
	}
	add("n", count.ReplaceAllStringFunc(right, func(field string) string {
		n, _ := strconv.Atoi(field[len("n="):])
		return "n=" + strconv.Itoa(n+1)
	}))
	add("payload", payload.ReplaceAllString(right, "payload=5a"))
	add("flags", flags.ReplaceAllString(right, "flags=oob"))
	add("the order of descriptors", fds.ReplaceAllString(right, "fds=$2,$1"))
	add("a kind of descriptor", strings.ReplaceAll(right, "=new:", "=asock:"))
	for _, f := range s.Files {
		add("another file", one.ReplaceAllString(right, "fds="+f.Name+"$2$3"))
	}
	add("no descriptor", one.ReplaceAllString(right, "fds=-$3"))
	return list
}

// An honest peer passes every scenario, and every answer matters: if it is replaced by a wrong
// one, the runner reports that line. Each scenario runs on its first socket type: with the right
// answers, the other types are run in package interop. With SCM_MUTANTS=full the test runs every
// wrong answer. Without it, the test runs one for each right answer, and wrong answers of every kind.
func TestEveryAnswerMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("wrong answers are not run with -short")
	}
	p, self := honest(t)
	var all []tampered
	var right, wrong []scenario.Case
	for _, s := range scenarios(t) {
		a, b := cast(s, p, self)
		right = append(right, scenario.Case{Scenario: s, Type: s.Types[0], A: a, B: b})
		all = append(all, tamper(t, s)...)
	}
	chosen := choose(all)
	if os.Getenv("SCM_MUTANTS") == "full" {
		chosen = all
	}
	for _, lie := range all {
		if !slices.ContainsFunc(chosen, func(c tampered) bool { return c.kind == lie.kind }) {
			t.Errorf("no wrong answer of kind %q is run", lie.kind)
		}
	}
	lies := map[string]tampered{} // by name of case
	for i, lie := range chosen {
		lie.scenario.Name += "-" + strconv.Itoa(i)
		a, b := cast(lie.of, p, self)
		c := scenario.Case{Scenario: lie.scenario, Type: lie.of.Types[0], A: a, B: b}
		lies[c.Name()] = lie
		wrong = append(wrong, c)
	}
	unsupported := map[*scenario.Scenario]bool{}
	for _, r := range interop.Run(context.Background(), right, nil, interop.Options{Jobs: 2}).Results {
		switch s := r.Case.Scenario; {
		case r.Verdict == scenario.Unsupported && (len(s.Needs) > 0 || len(s.Files) > 0):
			t.Logf("skipped: %s: %s", r.Name, r.Why)
			unsupported[s] = true
		case r.Verdict != scenario.Pass:
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	wrong = slices.DeleteFunc(wrong, func(c scenario.Case) bool { return unsupported[lies[c.Name()].of] })
	t.Logf("%d scenarios, %d of %d wrong answers in them", len(scenarios(t)), len(wrong), len(all))
	for _, r := range interop.Run(context.Background(), wrong, nil, interop.Options{Jobs: 2}).Results {
		lie := lies[r.Name]
		found := func(f scenario.Finding) bool {
			return f.Line == lie.step.Line && (f.Check == scenario.CheckAnswer || f.Check == scenario.CheckFile)
		}
		if r.Verdict != scenario.Fail || !slices.ContainsFunc(r.Findings, found) {
			t.Errorf("%s:%d: %q is not detected: %s: %s%v", lie.scenario.Name, lie.step.Line, lie.answer, r.Verdict, r.Why, r.Findings)
		}
	}
}
