package fdtest

import (
	"os"
	"testing"
)

// Without an emulator the variable alone makes none. Under tools/prove/foreign it is set, and true.
func TestEmulator(t *testing.T) {
	if path := os.Getenv(EmulatorVariable); path != "" {
		if got := Emulator(); got != path {
			t.Errorf("under %s: %q", path, got)
		}
		return
	}
	if got := Emulator(); got != "" {
		t.Errorf("with no variable: %q", got)
	}
	t.Setenv(EmulatorVariable, "/usr/bin/qemu-s390x-static")
	if got := Emulator(); got != "" {
		t.Errorf("on the machine's own processor: %q", got)
	}
}
