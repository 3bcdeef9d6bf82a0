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
	var console, brief, selected, markdown strings.Builder
	_ = r.Console(&console)
	_ = r.Brief(&brief)
	r.Selected = true
	_ = r.Brief(&selected)
	_ = r.Markdown(&markdown)
	want := []string{"nix libc: no cargo in PATH; to install it: make setup-interop", "python: no python3 in PATH; to install it: make setup-test"}
	oneLine := strings.ReplaceAll(brief.String(), "\n  ", " ")
	if want := "\nnot used: " + strings.Join(want, "; ") + "\n"; !strings.Contains(oneLine, want) {
		t.Errorf("brief:\n%s\nwant %q", &brief, want)
	}
	for _, group := range want {
		if !strings.Contains(console.String(), "\nnot used: "+group+"\n") {
			t.Errorf("console:\n%s\nwant %q", &console, group)
		}
	}
	if strings.Contains(selected.String(), "not used") {
		t.Errorf("with --run, brief:\n%s", &selected)
	}
	for _, group := range want {
		if !strings.Contains(markdown.String(), "\n- "+escapeMarkdown(group)+"\n") || strings.Count(markdown.String(), "nix") != 1 {
			t.Errorf("markdown:\n%s\nwant %q", &markdown, group)
		}
	}
}
