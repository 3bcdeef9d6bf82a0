package sys

import (
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDevices(t *testing.T) {
	for _, test := range []struct {
		name         string
		major, minor uint32
		terminal     bool
		input        bool
	}{
		{"/dev/null", 1, 3, false, false},
		{"/dev/tty1", 4, 1, false, false},
		{"/dev/tty", 5, 0, true, false},
		{"/dev/ptmx", 5, 2, true, false},
		{"/dev/pts/0", 136, 0, true, false},
		{"/dev/net/tun", 10, 200, false, false},
		{"/dev/uinput", 10, 223, false, false},
		{"/dev/input/js0", 13, 0, false, true},
		{"/dev/input/mice", 13, 63, false, true},
		{"/dev/input/event0", 13, 64, false, true},
		{"the last input device", 13, 1023, false, true},
		{"a CUSE device with the major number of input devices", 13, 1024, false, false},
		{"another driver with the minor number of an input device", 12, 64, false, false},
	} {
		device := unix.Mkdev(test.major, test.minor)
		if isTerminal(device) != test.terminal || isInput(device) != test.input {
			t.Errorf("%s: terminal %v, input %v", test.name, isTerminal(device), isInput(device))
		}
		// No descriptor refers to the device, so a TUN device has no interface.
		if polls := pollsDevice(device, -1); polls != (test.terminal || test.input) {
			t.Errorf("%s: enters the poller: %v", test.name, polls)
		}
	}
}

// Each kind of anonymous file has a row that says how its poll method behaves.
func TestPollOfAnonymousFiles(t *testing.T) {
	if kinds := slices.Sorted(maps.Keys(neverWaits)); !slices.Equal(kinds, slices.Sorted(slices.Values(anonymous))) {
		t.Errorf("rows for %q, want %q", kinds, anonymous)
	}
}
