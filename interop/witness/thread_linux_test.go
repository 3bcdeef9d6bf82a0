package witness

import (
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// A process whose user may not open its files in /proc has perhaps only ended.
func TestMayNotInspect(t *testing.T) {
	running := exec.Command("sleep", "60")
	ended := exec.Command("true")
	for _, cmd := range []*exec.Cmd{running, ended} {
		if err := cmd.Start(); err != nil {
			t.Fatalf("%q: %v", cmd.Args, err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	fdtest.Must(t, unix.Waitid(unix.P_PID, ended.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	zombie, waited := ended.Process.Pid, exec.Command("true")
	fdtest.Must(t, waited.Run())
	for _, c := range []struct {
		name string
		pid  int
		err  error
		want bool
	}{
		{"a running process", running.Process.Pid, unix.EACCES, true},
		{"a zombie", zombie, unix.EACCES, false},
		{"a process that is gone", waited.Process.Pid, unix.EACCES, false},
		{"a descriptor that is closed", running.Process.Pid, unix.ENOENT, false},
		{"no error", running.Process.Pid, nil, false},
	} {
		if got := MayNotInspect(c.pid, c.err); got != c.want {
			t.Errorf("%s, %v: got %t", c.name, c.err, got)
		}
	}
}
