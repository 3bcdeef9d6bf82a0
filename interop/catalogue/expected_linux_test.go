package catalogue_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
)

// If all peers are installed, no expected failure is set aside, apart from those of other versions: each names an
// existing peer and a case that the peer takes part in. There are as many on each kernel as its lines say.
func TestExpectedIsAboutSomething(t *testing.T) {
	names := peers.Names()
	for _, lib := range inside.All() {
		names = append(names, lib.Name)
	}
	slices.Sort(names)
	var all []*scenario.Peer
	for _, name := range slices.Compact(names) {
		all = append(all, scenario.Missing(name, ""))
	}
	for system, want := range map[expected.System]int{
		{Kind: expected.GVisor, Release: "4.4.0"}:                0,
		{Kind: expected.Linux, Release: "5.10.0-32-cloud-amd64"}: 8,
		{Kind: expected.Linux, Release: "6.1.0-37-amd64"}:        0,
		{Kind: expected.Linux, Release: "6.6.2"}:                 2,
		{Kind: expected.Linux, Release: "7.2.13+deb14"}:          0,
	} {
		list, err := catalogue.Expected(system.Kind)
		if err != nil {
			t.Fatalf("%v: %v", system, err)
		}
		x, unmatched := scenario.Expect(list, system, scenarios(t), all, nil, scenario.Missing(scenario.RunnerName, ""))
		if unmatched != nil {
			t.Fatalf("%v: %v", system, unmatched)
		}
		ofKernel := 0 // that apply to this release
		for _, l := range x.List {
			if l.Noted() {
				ofKernel++
			}
		}
		for _, l := range x.Aside {
			if l.Versions == "" { // the version of a peer that does not run is unknown
				t.Errorf("set aside on %v: %s", system, l)
			}
		}
		if ofKernel != want || len(x.List) < 500 {
			t.Errorf("%v: %d expected failures, %d of them of the release", system, len(x.List), ofKernel)
		}
	}
}

// An expected failure names its scenarios. Only cloexec may be expected of a peer in all of
// them: it has one cause, the flags of the receive, and any other finding in those cases
// still needs a line of its own.
func TestExpectedNamesItsScenarios(t *testing.T) {
	list, err := catalogue.Expected(expected.GVisor)
	fdtest.Must(t, err)
	for _, l := range list {
		if nameless(l) {
			t.Errorf("%s: it names no scenario, so it would hide unknown faults", l)
		}
	}
	for text, want := range map[string]bool{
		"** answer@one:receives why": true, "payload answer@one why": true, "payload/[a-z]* crash@one why": true,
		"** cloexec@one why": false, "*/{stream-empty,x-y}/** leak@one why": false, "**/dgram leak@one:sends why": true,
	} {
		list, err := scenario.ParseExpectations("file", []byte(text))
		if err != nil || nameless(list[0]) != want {
			t.Errorf("%s: nameless is %v, %v", text, !want, err)
		}
	}
}

// The lines in docs/testing-a-library.md can be used: each applies to a case of the peer that the page starts or of the
// kernel, and only the last one is flaky.
func TestExpectedPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing-a-library.md")
	fdtest.Must(t, err)
	_, section, _ := strings.Cut(string(page), "\n## Expected failures\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, rest, _ := strings.Cut(section, "```text\n")
	example, _, _ := strings.Cut(rest, "```\n")
	list, err := scenario.ParseExpectations("docs/testing-a-library.md", []byte(example))
	if err != nil || len(list) < 5 {
		t.Fatalf("%d expected failures, %v", len(list), err)
	}
	x, unmatched := scenario.Expect(list, expected.System{Release: "5.10.0"}, scenarios(t), []*scenario.Peer{scenario.Missing("mine", "")}, nil, scenario.Missing(scenario.RunnerName, ""))
	if unmatched != nil || len(x.List) < len(list)-1 { // one line is about a version
		t.Errorf("%d of %d lines apply, %v", len(x.List), len(list), unmatched)
	}
	if err := expected.ValidateReasons(list); err != nil {
		t.Error(err)
	}
	for i, l := range list {
		if l.Flaky() != (i == len(list)-1) {
			t.Errorf("%s: flaky is %v", l, l.Flaky())
		}
	}
	if words := len(strings.Fields(section)); words > 500 {
		t.Errorf("the section has %d words", words)
	}
}

// nameless reports whether the line applies to scenarios that it does not name.
func nameless(l expected.Line) bool {
	for _, group := range []string{"payload", "unknown"} {
		for _, socketType := range contract.SocketTypes {
			if l.Pattern.Match(group + "/no-scenario-has-this-name/" + socketType) {
				return l.Check != expected.Cloexec
			}
		}
	}
	return false
}
