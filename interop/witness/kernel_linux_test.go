package witness

import (
	"github.com/scm-rights/scm/interop/scenario"
)

import "testing"

func TestKernelOf(t *testing.T) {
	for log, want := range map[string]string{
		"<6>[   0.000000] Starting gVisor...\n<6>[   0.271529] Deleting VFS": scenario.KernelGVisor,
		"<6>[   0.000000] Starting gVisor...\n<6>[   0.56672":                scenario.KernelGVisor, // truncated
		"<5>[    0.000000] Linux version 6.18.44":                            scenario.KernelLinux,
		// A program has written it to /dev/kmsg.
		"<12>[  123.456789] Starting gVisor...\n":                     scenario.KernelLinux,
		"<12>[  123.456789] x\n<6>[   0.000000] Starting gVisor...\n": scenario.KernelLinux,
		"<6>Starting gVisor...":                                       scenario.KernelLinux,
		"":                                                            scenario.KernelLinux, // the buffer is too small for one line
	} {
		if got := kernelOf([]byte(log)); got != want {
			t.Errorf("%q: got %s, want %s", log, got, want)
		}
	}
}
