package report

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// A report names each unused peer once, and each reason once.
func TestUnused(t *testing.T) {
	r := Begin("1", []*scenario.Peer{
		scenario.Missing("nix", "no cargo in PATH; to install it: make setup-interop"),
		scenario.Missing("python", "no python3 in PATH; to install it: make setup-test"),
		scenario.Missing("libc", "no cargo in PATH; to install it: make setup-interop"),
	}, &scenario.Expectations{})
	var console, brief, markdown strings.Builder
	_ = r.Console(&console)
	_ = r.Brief(&brief)
	_ = r.Markdown(&markdown)
	want := []string{"nix libc: no cargo in PATH; to install it: make setup-interop", "python: no python3 in PATH; to install it: make setup-test"}
	for name, text := range map[string]string{"console": console.String(), "brief": brief.String()} {
		for _, group := range want {
			if !strings.Contains(text, "\nnot used: "+group+"\n") {
				t.Errorf("%s:\n%s\nwant %q", name, text, group)
			}
		}
	}
	for _, group := range want {
		if !strings.Contains(markdown.String(), "\n- "+escapeMarkdown(group)+"\n") || strings.Count(markdown.String(), "nix") != 1 {
			t.Errorf("markdown:\n%s\nwant %q", &markdown, group)
		}
	}
}
