package suitecmd

import (
	"slices"
	"testing"
)

func TestOtherSystemsListTheSameCommands(t *testing.T) {
	var names []string
	for _, cmd := range linuxCommands() {
		names = append(names, cmd.Name())
	}
	if !slices.Equal(names, onLinux) {
		t.Errorf("the commands are %q, and other systems list %q", names, onLinux)
	}
}
