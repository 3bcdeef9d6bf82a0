package catalogue_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// correct is what the judge learned about each scenario when a peer without faults and the runner ran it, on its first
// socket type.
var correct = sync.OnceValues(func() (logs map[string]*judge.Log, results []scenario.Result) {
	self, err := process.Runner()
	p := scenario.Program("correct", self.Command...)
	list, e := catalogue.Scenarios()
	if err := errors.Join(err, e, process.Probe(p, process.DefaultTimeout)); err != nil {
		return nil, []scenario.Result{{Verdict: scenario.NotRun, Why: err.Error()}}
	}
	var cases []scenario.Case
	for _, s := range list {
		a, b := cast(s, p, self)
		cases = append(cases, scenario.Case{Scenario: s, Type: s.Types[0], A: a, B: b})
	}
	logs = map[string]*judge.Log{}
	var mu sync.Mutex
	result := interop.Run(context.Background(), cases, nil, interop.Options{Jobs: 2, Observe: func(r *judge.Log) {
		mu.Lock()
		defer mu.Unlock()
		logs[r.Setup.Case.Scenario.Name] = r
	}})
	return logs, result.Results
})

// logs returns the logs of correct, without the scenarios for which the system lacks something.
func logs(t *testing.T) map[string]*judge.Log {
	t.Helper()
	all, results := correct()
	usable := maps.Clone(all)
	for _, r := range results {
		switch {
		case r.Case.Scenario != nil && r.Verdict == scenario.Unsupported && (len(r.Case.Scenario.Needs) > 0 || len(r.Case.Scenario.Files) > 0):
			t.Logf("skipped: %s: %s", r.Name, r.Why)
			delete(usable, r.Case.Scenario.Name)
		case r.Verdict != scenario.Pass:
			t.Errorf("%s: got %s: %s%v, want pass", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	return usable
}

// A tampered transcript has one answer replaced by a wrong one.
type tampered struct {
	scenario *scenario.Scenario
	step     scenario.Step
	wrong
}

// A wrong answer, and the kind of fault in it.
type wrong struct{ answer, kind string }

// cast returns the peers for a scenario: the correct one, and the runner in the roles that a
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

// tamper replaces each right answer by each wrong one. The scenario ends there.
func tamper(t *testing.T, s *scenario.Scenario) (list []tampered) {
	t.Helper()
	verbs := map[scenario.Role]string{}
	for i, st := range s.Steps {
		if st.Kind != scenario.StepAnswer {
			verbs[st.Role] = st.Command.Verb
			continue
		}
		before := len(list)
		for _, wrong := range wrongAnswers(s, st) {
			line, err := contract.ParseLine(wrong.answer)
			if err != nil || contract.ValidateAnswer(kernel.Vocabulary, verbs[st.Role], line) != nil {
				continue // the parser detects it
			}
			bad := *s
			bad.Steps = slices.Clone(s.Steps[:i+1])
			bad.Steps[i].Alternatives = []scenario.Alternative{{Text: wrong.answer, Line: line}}
			list = append(list, tampered{&bad, st, wrong})
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
		two, ok := want.Fields[key]
		lacks := func(f string) bool { return !slices.Contains(strings.Split(two, ","), f) }
		if !ok || one == two || one == "*" || slices.Contains(kernel.Vocabulary.FDFields(), key) {
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
	right := st.Alternatives[0].Text
	add := func(kind, answer string) {
		same := func(w scenario.Alternative) bool {
			return label.ReplaceAllString(w.Text, "") == label.ReplaceAllString(answer, "")
		}
		if (s.RunByRunner(st.Role) || strings.Contains(answer, "=*")) && !contradicts(answer, right) { // "*" matches the right value too
			return
		}
		if !slices.ContainsFunc(st.Alternatives, same) && !slices.ContainsFunc(list, func(w wrong) bool { return w.answer == answer }) {
			list = append(list, wrong{answer, kind})
		}
	}
	for _, other := range s.Steps {
		// A scenario that goes through a table of lengths has too many other answers.
		near := max(st.Line-other.Line, other.Line-st.Line) <= 8
		if other.Kind == scenario.StepAnswer && (near || !s.RunByRunner(st.Role)) {
			add("of another line", other.Alternatives[0].Text)
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

// A correct peer passes every scenario, and every answer matters: if another one is expected, the judge reports that
// line for the same facts. Each scenario runs once, on its first socket type. Package interop runs the other types.
func TestEveryAnswerMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the user makes no difference to the judge")
	}
	all := logs(t)
	lies, kinds := 0, map[string]int{}
	for _, s := range scenarios(t) {
		r := all[s.Name]
		if r == nil {
			continue
		}
		if again := r.Judge(s); !reflect.DeepEqual(again, r.Found) {
			t.Errorf("%s: judged again: %+v, not %+v", s.Name, again, r.Found)
		}
		for _, lie := range tamper(t, s) {
			lies++
			kinds[lie.kind]++
			found := r.Judge(lie.scenario)
			isThat := func(f scenario.Finding) bool {
				return f.Line == lie.step.Line && (f.Check == scenario.CheckAnswer || f.Check == scenario.CheckFile)
			}
			if !slices.ContainsFunc(found.Findings, isThat) {
				t.Errorf("%s:%d: %q is not detected: %s%v", s.Name, lie.step.Line, lie.answer, found.Why, found.Findings)
			}
		}
	}
	t.Logf("%d scenarios, %d wrong answers in them: %v", len(all), lies, kinds)
	if lies < 1000 || len(kinds) < 10 {
		t.Error("too few wrong answers")
	}
}

// returned matches the descriptors in an answer to a receive.
var returned = regexp.MustCompile(`\bfds=(\d+)\S*`)

// A library may close what it did not return, if its peer reports that.
func TestReportOfClosedDescriptors(t *testing.T) {
	all := logs(t)
	for _, name := range []string{"truncation/ctrunc-three-into-one", "credentials/scm-pidfd-live"} {
		log := all[name]
		if log == nil {
			continue // this system lacks something
		}
		reports := &judge.Log{Setup: log.Setup, Exchanges: slices.Clone(log.Exchanges)}
		changed := 0
		for i, e := range reports.Exchanges {
			if a, ok := e.Fact.(fact.Answer); ok && returned.MatchString(a.Said) {
				changed++
				a.Said = returned.ReplaceAllString(a.Said, "fds=$1,closed:1")
				reports.Exchanges[i].Fact = a
			}
		}
		if found := reports.Judge(log.Setup.Case.Scenario); changed == 0 || len(found.Findings) > 0 || found.Verdict != "" {
			t.Errorf("%s: with closed:1 in %d answers: %+v", name, changed, found)
		}
	}
}
