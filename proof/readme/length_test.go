//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

// README.md is for someone with one minute.
func TestLength(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 110 {
		t.Errorf("README.md has %d lines, and may have 110", lines)
	}
}
