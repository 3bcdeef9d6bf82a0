package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// outcomes describes the verdicts that are causes.
var outcomes = map[string]string{
	scenario.UnexpectedPass.String(): "an expected failure does not occur, so remove or narrow its line",
	scenario.Flaky.String():          "the outcome differs when the case is run again",
	scenario.NotRun.String():         "the runner could not run the case",
}

// Sentence describes the cause for a reader.
func (c Cause) Sentence() string {
	return fmt.Sprintf("%s: %s%s", c.rule(), display.Plural(c.Cases, "case"), c.where)
}

// rule says which rule is broken, and by which peer.
func (c Cause) rule() string {
	if check, peer, ok := strings.Cut(c.Name(), "@"); ok {
		return subject(peer) + " " + scenario.Faults[scenario.Check(check)]
	}
	if peer := c.Example.AskedNoMore; peer != "" {
		return peer + " was not run after hangs"
	}
	return cmp.Or(outcomes[c.Name()], c.Name())
}

// subject returns the name of a peer as the subject of a sentence.
func subject(peer string) string {
	if peer == scenario.RunnerName || peer == scenario.KernelName {
		return "the " + peer
	}
	return peer
}

// Verdict describes the outcome of the run in a sentence.
func (r *Report) Verdict() string {
	text := counts(r.summed()...)
	if n := r.Totals.Unsupported + r.Kernel.Unsupported; n > 0 {
		text += fmt.Sprintf(". Unsupported: %d", n)
	}
	if n := r.NotRun(); n > 0 {
		text += fmt.Sprintf(". %s could not be run", display.Plural(n, "case"))
	}
	if n := r.UnmatchedFaults(); n > 0 {
		text += fmt.Sprintf(". %s%s: %d", strings.ToUpper(unmatchedTitle[:1]), unmatchedTitle[1:], n)
	}
	for _, sentence := range r.apart() {
		text += ". " + sentence
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// summed returns the totals that Verdict adds up: if Given is set, only those of its peers.
func (r *Report) summed() []Totals {
	if len(r.Given) > 0 {
		return []Totals{r.Totals}
	}
	return []Totals{r.Totals, r.Kernel}
}

// apart returns sentences, without periods, about how the other cases ended if Given is set.
func (r *Report) apart() (sentences []string) {
	if len(r.Given) > 0 && r.Kernel.Verdicts() > 0 {
		sentences = append(sentences, "Kernel scenarios: "+counts(r.Kernel))
	}
	if r.Control.Unexpected() > 0 {
		sentences = append(sentences, "Runner with itself: "+counts(r.Control))
	}
	return sentences
}

// counts says how the cases in these totals ended.
func counts(list ...Totals) string {
	var verdicts, pass, expected, unexpected int
	for _, t := range list {
		verdicts += t.Verdicts()
		pass += t.Pass
		expected += t.Expected
		unexpected += t.Unexpected()
	}
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(pass, "passed")
	add(expected, "failed as expected")
	add(unexpected, "did not end as expected")
	if len(parts) == 0 {
		return "no case has a verdict"
	}
	return fmt.Sprintf("of %s, %s", display.Plural(verdicts, "case"), strings.Join(parts, ", "))
}

// ExpectedFailures returns the reasons of the failures that were expected, the most frequent first.
func (r *Report) ExpectedFailures() []Cause {
	list, _ := r.grouped(expectedReasons)
	return list
}

// expectedReasons returns the reasons of a case that failed as expected, sorted and without duplicates.
func expectedReasons(c scenario.Result) []string {
	if c.Verdict != scenario.Expected {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(c.Reasons)))
}

// where says in how many scenarios a peer fails a check, and with how many partners. It also says whether the peer
// fails it in only one role or on only one type of socket, if the report has cases with others.
func (r *Report) where(check scenario.Check, peer string, failed []scenario.Result) string {
	failing := scenarioNames(failed)
	judged := r.judged(check, peer)
	all := scenarioNames(judged)
	text := fmt.Sprintf(", in %d of %s", len(failing), display.Plural(len(all), "scenario"))
	switch {
	case len(failing) == 1:
		text = ", in " + failing[0]
	case len(failing) >= len(all):
		text = fmt.Sprintf(", in each of the %d scenarios in which it was checked", len(failing))
	}
	if len(failed) < 2 {
		return text
	}
	alike := slices.DeleteFunc(judged, func(c scenario.Result) bool {
		name, _, _, _ := splitCaseName(c.Name)
		return !slices.Contains(failing, name)
	})
	if role, ok := only(failed, alike, peer, roleOf); ok {
		text += ", only as the " + role
	}
	if socketType, ok := only(failed, alike, peer, typeOf); ok {
		text += ", only on " + socketType + " sockets"
	}
	if partner, ok := only(failed, alike, peer, partnerOf); ok {
		text += ", only with " + partner
	} else if all := distinct(alike, peer, partnerOf); len(all) > 1 {
		text += fmt.Sprintf(", with %d of %d partners", len(distinct(failed, peer, partnerOf)), len(all))
	}
	return text
}

// judged returns the cases in which the peer could fail the check.
func (r *Report) judged(check scenario.Check, peer string) (list []scenario.Result) {
	verdicts := []scenario.Verdict{scenario.Pass, scenario.Fail, scenario.Expected, scenario.UnexpectedPass}
	for _, c := range r.Cases {
		_, _, a, b := splitCaseName(c.Name)
		checked := check != scenario.CheckCloexec || slices.Contains(c.CloexecChecked, peer)
		if slices.Contains(verdicts, c.Verdict) && (a == peer || b == peer) && checked {
			list = append(list, c)
		}
	}
	return list
}

// scenarioNames returns the names of the scenarios of these cases, sorted and without duplicates.
func scenarioNames(cases []scenario.Result) (names []string) {
	for _, c := range cases {
		name, _, _, _ := splitCaseName(c.Name)
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// roleOf returns the role of the peer in a case, or "" if it has both.
func roleOf(c scenario.Result, peer string) string {
	switch _, _, a, b := splitCaseName(c.Name); {
	case a == b:
		return ""
	case a == peer:
		return "sender"
	}
	return "receiver"
}

// typeOf returns the type of socket of a case.
func typeOf(c scenario.Result, _ string) string {
	_, socketType, _, _ := splitCaseName(c.Name)
	return socketType
}

// partnerOf returns the other peer of a case.
func partnerOf(c scenario.Result, peer string) string {
	_, _, a, b := splitCaseName(c.Name)
	if a == peer {
		return subject(b)
	}
	return subject(a)
}

// distinct returns the results of the function of for the cases, without duplicates and "".
func distinct(cases []scenario.Result, peer string, of func(c scenario.Result, peer string) string) (values []string) {
	for _, c := range cases {
		if v := of(c, peer); v != "" && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// only returns the value that all failed cases share, if other cases have a different one.
func only(failed, alike []scenario.Result, peer string, of func(c scenario.Result, peer string) string) (value string, ok bool) {
	values := distinct(failed, peer, of)
	if len(values) != 1 || len(distinct(alike, peer, of)) < 2 {
		return "", false
	}
	return values[0], true
}
