package catalogue_test

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"

	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
)

// kernels has a kernel for each heading.
var kernels = []scenario.Kernel{
	{Kind: scenario.KernelGVisor, Release: "4.4.0"},
	{Kind: scenario.KernelLinux, Release: "5.10.0-32-cloud-amd64"},
	{Kind: scenario.KernelLinux, Release: "6.1.0-37-amd64"},
	{Kind: scenario.KernelLinux, Release: "6.6.2"},
	{Kind: scenario.KernelLinux, Release: "7.2.13+deb14"},
}

// If all peers are installed, no expected failure is set aside: each names an existing peer
// and a case that the peer takes part in.
func TestExpectedIsAboutSomething(t *testing.T) {
	list, err := catalogue.Expected()
	if err != nil {
		t.Fatal(err)
	}
	names := peers.Names()
	for _, lib := range inside.All() {
		names = append(names, lib.Name)
	}
	slices.Sort(names)
	var all []*scenario.Peer
	for _, name := range slices.Compact(names) {
		all = append(all, scenario.Missing(name, ""))
	}
	for _, kernel := range kernels {
		x, err := scenario.Expect(list, kernel, scenarios(t), all, nil, scenario.Missing(scenario.RunnerName, ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range x.Aside {
			if e.On(kernel) && e.Version == "" { // the version of a peer that does not run is unknown
				t.Errorf("set aside on %v: %s", kernel, e)
			}
		}
	}
	if len(list) == 0 {
		t.Error("there are no expected failures")
	}
}

// An expected failure names its scenarios. Only cloexec may be expected of a peer in all of
// them: it has one cause, the flags of the receive, and any other finding in those cases
// still needs a line of its own.
func TestExpectedNamesItsScenarios(t *testing.T) {
	list, err := catalogue.Expected()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if nameless(e) {
			t.Errorf("%s: it names no scenario, so it would hide unknown faults", e)
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

// The lines in docs/expected.md can be used: each applies to a case of the peer that the page starts, on an old kernel,
// and only the last one of the first example is flaky.
func TestExpectedPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/expected.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []scenario.Expectation
	lines := 0 // of the first example
	for _, rest := range strings.Split(string(page), "```text\n")[1:] {
		example, _, _ := strings.Cut(rest, "```\n")
		more, err := scenario.ParseExpectations("docs/expected.md", []byte(example))
		if err != nil || len(more) == 0 {
			t.Fatalf("%d expected failures, %v", len(more), err)
		}
		list = append(list, more...)
		lines = cmp.Or(lines, len(list))
	}
	mine := []*scenario.Peer{scenario.Missing("mine", "")}
	for release, want := range map[string]int{"5.10.0": len(list), "6.12.0": lines} {
		kernel := scenario.Kernel{Kind: scenario.KernelLinux, Release: release}
		x, err := scenario.Expect(list, kernel, scenarios(t), mine, nil, scenario.Missing(scenario.RunnerName, ""))
		if err != nil || len(x.List) != want {
			t.Errorf("on %s, %d of %d lines apply, want %d, %v", release, len(x.List), len(list), want, err)
		}
	}
	if err := scenario.ValidateReasons(list); err != nil {
		t.Error(err)
	}
	for i, e := range list {
		if e.Flaky() != (i == lines-1) {
			t.Errorf("%s: flaky is %v", e, e.Flaky())
		}
	}
}

// nameless reports whether the expectation applies to scenarios that it does not name.
func nameless(e scenario.Expectation) bool {
	for _, group := range []string{"payload", "unknown"} {
		for _, socketType := range contract.SocketTypes {
			if e.SelectsName(group + "/no-scenario-has-this-name/" + socketType + "/" + e.Peer + "/" + e.Peer) {
				return e.Check != scenario.CheckCloexec
			}
		}
	}
	return false
}
