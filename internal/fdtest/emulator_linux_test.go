package fdtest

import (
	"os"
	"testing"
)

// A native program ignores the variable. proof/foreign sets it and does run an emulator.
func TestEmulator(t *testing.T) {
	if path := os.Getenv(EmulatorVariable); path != "" {
		if got := Emulator(); got != path {
			t.Errorf("under %s: %q", path, got)
		}
		return
	}
	if got := Emulator(); got != "" {
		t.Errorf("without the variable: got %q", got)
	}
	t.Setenv(EmulatorVariable, "/usr/bin/qemu-s390x-static")
	if got := Emulator(); got != "" {
		t.Errorf("in a native program: got %q", got)
	}
}
