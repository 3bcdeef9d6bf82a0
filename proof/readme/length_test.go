//go:build linux

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

// README.md is for someone with one minute.
func TestLength(t *testing.T) {
	text := must.Get(os.ReadFile("../../README.md"))
	if words := len(strings.Fields(string(text))); words > 660 {
		t.Errorf("README.md has %d words, and may have 660", words)
	}
	if lines := strings.Count(string(text), "\n"); lines > 110 {
		t.Errorf("README.md has %d lines, and may have 110", lines)
	}
}
