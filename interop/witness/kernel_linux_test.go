package witness

import (
	"testing"

	"github.com/scm-rights/scm/interop/expected"
)

// Callers ask for each of hundreds of expected failures.
func TestThisKernelReadsTheLogOnce(t *testing.T) {
	if n := testing.AllocsPerRun(10, func() { ThisKernel() }); n > 0 {
		t.Errorf("%v allocations in a call", n)
	}
	if k := ThisKernel(); k.Kind == "" || k.Release == "" {
		t.Errorf("got %+v, want its kind and its release", k)
	}
}

func TestKernelOf(t *testing.T) {
	for log, want := range map[string]string{
		"<6>[   0.000000] Starting gVisor...\n<6>[   0.271529] Deleting VFS": expected.GVisor,
		"<6>[   0.000000] Starting gVisor...\n<6>[   0.56672":                expected.GVisor, // truncated
		"<5>[    0.000000] Linux version 6.18.44":                            expected.Linux,
		// A program has written it to /dev/kmsg.
		"<12>[  123.456789] Starting gVisor...\n":                     expected.Linux,
		"<12>[  123.456789] x\n<6>[   0.000000] Starting gVisor...\n": expected.Linux,
		"<6>Starting gVisor...":                                       expected.Linux,
		// the buffer is too small for one line
		"": expected.Linux,
	} {
		if got := kernelOf([]byte(log)); got != want {
			t.Errorf("%q: got %s, want %s", log, got, want)
		}
	}
}
