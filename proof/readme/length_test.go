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
	if words := len(strings.Fields(string(text))); words > 700 {
		t.Errorf("README.md has %d words, and may have 700", words)
	}
	if lines := strings.Count(string(text), "\n"); lines > 130 {
		t.Errorf("README.md has %d lines, and may have 130", lines)
	}
}
