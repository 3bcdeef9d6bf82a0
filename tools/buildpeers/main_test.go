package main

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers"
)

// Each peer that was not built is named once, with the command that installs what it needs.
func TestSummarize(t *testing.T) {
	const noCargo = "no cargo in PATH"
	var text strings.Builder
	summarize(&text, []peers.Built{
		{Name: "csrc", Command: []string{"csrc"}},
		{Name: "nix", Why: noCargo, Setup: "interop"},
		{Name: "php", Why: "php: exit status 1", Broken: true},
		{Name: "libc", Why: noCargo, Setup: "interop"},
	})
	want := "peers: built 1 of 4: csrc\n" +
		"peers: not built: nix libc: no cargo in PATH; to install it: make setup-interop\n" +
		"peers: not built: php: php: exit status 1\n"
	if text.String() != want {
		t.Errorf("got:\n%swant:\n%s", &text, want)
	}
}
