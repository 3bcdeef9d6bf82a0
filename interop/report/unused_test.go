package report

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// A report names each unused peer once, and each reason once. Brief does so in one paragraph, unless --run chose.
func TestUnused(t *testing.T) {
	r := Begin("1", []*scenario.Peer{
		scenario.Missing("nix", "no cargo in PATH; to install it: make setup-interop"),
		scenario.Missing("python", "no python3 in PATH; to install it: make setup-test"),
		scenario.Missing("libc", "no cargo in PATH; to install it: make setup-interop"),
	}, &scenario.Expectations{})
	brief := texts(t, r)["Brief"]
	r.Selected = true
	selected := texts(t, r)["Brief"]
	const want = "\nnot used: nix libc: no cargo in PATH; to install it: make setup-interop; python: no python3 in PATH; to install it: make setup-test\n"
	if !strings.Contains(strings.ReplaceAll(brief, "\n  ", " "), want) {
		t.Errorf("brief:\n%s\nwant %q", brief, want)
	}
	if strings.Contains(selected, "not used") {
		t.Errorf("with --run, brief:\n%s", selected)
	}
}
