package main

import (
	"os"
	"slices"
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

// The user's own partners are added to ours, and replace those of the same names.
func TestReadPartners(t *testing.T) {
	t.Setenv(peers.PartnersVariable, "")
	ours, own, err := readPartners()
	if err != nil || len(own) > 0 || !slices.Contains(ours, "nix") || !slices.Contains(ours, "scm-cgo") {
		t.Errorf("got %v, %v, %v", ours, own, err)
	}
	file := t.TempDir() + "/list.json"
	if err := os.WriteFile(file, []byte(`[{"name": "mine", "command": ["a"]}, {"name": "nix", "command": ["b"]}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv(peers.PartnersVariable, file)
	names, own, err := readPartners()
	if err != nil || len(own) != 2 || own[0].Name != "mine" || len(names) != len(ours)-1 || slices.Contains(names, "nix") {
		t.Errorf("got %v, %v, %v", names, own, err)
	}
	t.Setenv(peers.PartnersVariable, file+"x")
	if _, _, err := readPartners(); err == nil || !strings.HasPrefix(err.Error(), "SCM_PARTNERS: open ") {
		t.Errorf("got %v", err)
	}
}
