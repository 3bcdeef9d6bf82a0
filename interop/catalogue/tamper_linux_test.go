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

// honest is a peer that is right in everything, in a process of its own, and the runner.
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

// A tampered transcript has one answer in the place of another.
type tampered struct {
	scenario *scenario.Scenario
	of       *scenario.Scenario // as it was
	step     scenario.Step
	verb     string // of what is answered
	wrong
}

// A wrong answer, and in what it is wrong.
type wrong struct{ answer, kind string }

// choose takes one of the wrong answers for each right one: of the kind that it has taken
// the fewest times so far for an answer to the same verb. It takes the same ones each time.
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

// cast is who plays a scenario here: the peer that is right, and the runner where
// that plays in any case.
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

// tamper puts each wrong answer in the place of each right one. Where the rest needs
// a name that the right answer had, it is left out, and so is what is no transcript then.
func tamper(t *testing.T, s *scenario.Scenario) (list []tampered) {
	t.Helper()
	lines := text(t, s)
	verbs := map[scenario.Role]string{}
	for _, st := range s.Steps {
		if st.Kind != scenario.StepHear {
			verbs[st.Role] = st.Command.Verb
			continue
		}
		before := len(list)
		for _, wrong := range wrongAnswers(s, st) {
			changed := slices.Clone(lines)
			head, _, _ := strings.Cut(lines[st.Line-1], " ")
			changed[st.Line-1] = head + " " + wrong.answer
			for i := range st.Wants[1:] {
				changed[st.Line+i] = "" // the alternatives stand directly below
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

// contradicts tells whether two expected answers cannot both be true. Neither tells
// all that there is, but for numbers of descriptors.
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

// others are values of which each field can have one that is not its own.
var others = []string{"-", "99999999", "nval", "grow", "path", "cloexec", "abstract:wrong", "cmsg(9,9,-)", "creds(1,2,3)", "block", "01234", "-1", "yes", "no"}

// wrongAnswers are those of the other lines, and what is right but in one thing.
func wrongAnswers(s *scenario.Scenario, st scenario.Step) (list []wrong) {
	right := st.Wants[0].Text
	add := func(kind, answer string) {
		same := func(w scenario.Want) bool {
			return label.ReplaceAllString(w.Text, "") == label.ReplaceAllString(answer, "")
		}
		if (s.RunnerPlays(st.Role) || strings.Contains(answer, "=*")) && !contradicts(answer, right) { // any value: the right one too
			return
		}
		if !slices.ContainsFunc(st.Wants, same) && !slices.ContainsFunc(list, func(w wrong) bool { return w.answer == answer }) {
			list = append(list, wrong{answer, kind})
		}
	}
	for _, other := range s.Steps {
		// Where the runner goes through a table of lengths, the answers to the others are many.
		near := max(st.Line-other.Line, other.Line-st.Line) <= 8
		if other.Kind == scenario.StepHear && (near || !s.RunnerPlays(st.Role)) {
			add("of another line", other.Wants[0].Text)
		}
	}
	add("an error", "err EUSERS")
	if s.RunnerPlays(st.Role) {
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

// Every scenario is passed by who is right, and no answer in it is there in vain: a
// wrong one in its place is noticed, at that line. SCM_MUTANTS=full plays every wrong answer,
// and a run without it one for each right one, of every kind.
func TestEveryAnswerMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a run without it plays wrong answers, whoever the user is")
	}
	p, self := honest(t)
	var all []tampered
	var right, wrong []scenario.Case
	for _, s := range scenarios(t) {
		a, b := cast(s, p, self)
		for _, socketType := range s.Types {
			right = append(right, scenario.Case{Scenario: s, Type: socketType, A: a, B: b})
		}
		all = append(all, tamper(t, s)...)
	}
	chosen := choose(all)
	if os.Getenv("SCM_MUTANTS") == "full" {
		chosen = all
	}
	for _, lie := range all {
		if !slices.ContainsFunc(chosen, func(c tampered) bool { return c.kind == lie.kind }) {
			t.Errorf("no wrong answer of kind %q is played", lie.kind)
		}
	}
	lies := map[string]tampered{} // by the names of their cases
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
			t.Logf("not played: %s: %s", r.Name, r.Why)
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
			t.Errorf("%s:%d: %q is not noticed: %s: %s%v", lie.scenario.Name, lie.step.Line, lie.answer, r.Verdict, r.Why, r.Findings)
		}
	}
}
