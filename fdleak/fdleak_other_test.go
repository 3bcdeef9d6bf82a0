//go:build unix && !linux

package fdleak_test

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/fdleak"
)

func TestMain(m *testing.M) { fdleak.Main(m) }

// A reporter is a test that keeps what it logs.
type reporter struct {
	*testing.T
	logged string
}

func (r *reporter) Log(args ...any) { r.logged = fmt.Sprint(args...) }

// A test that leaves a descriptor open passes, and Check says so.
func TestCheckReportsThatItDoesNotCheck(t *testing.T) {
	r := &reporter{T: t}
	fdleak.Check(r)
	if want := "fdleak: descriptors are not checked: this needs Linux, not " + runtime.GOOS; r.logged != want {
		t.Errorf("logged %q, want %q", r.logged, want)
	}
	_, _ = syscall.Open(os.DevNull, syscall.O_RDONLY, 0)
}
