package main

import (
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

// Root in a container lacks capabilities that some scenarios for root need. These scenarios are
// unsupported there, and do not fail.
func TestRootInContainer(t *testing.T) {
	run := func(t *testing.T) *exec.Cmd {
		return exec.Command(program(t, "scm"), "interop", "run", "--builtin=false", "--run", "basics/pass-one-fd",
			"--run", "credentials/{creds-forged-uid,privilege-at-open}", "--run", "kinds/kind-namespace-fd")
	}
	check := func(t *testing.T, r result) {
		const want = "…\nOf 3 cases, 3 passed. Unsupported: 9.\n"
		check(t, "run", r, result{stdout: want})
	}
	t.Run("in a user namespace", func(t *testing.T) {
		attr, err := reexec.InUserNamespace()
		if err != nil {
			t.Skip(err)
		}
		cmd := run(t)
		cmd.SysProcAttr = attr
		check(t, finish(t, cmd))
	})
	t.Run("with Docker's capabilities", func(t *testing.T) {
		fdtest.NeedRoot(t, "drop capabilities")
		docker := map[int]bool{
			unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true, unix.CAP_KILL: true,
			unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_NET_RAW: true,
			unix.CAP_SYS_CHROOT: true, unix.CAP_MKNOD: true, unix.CAP_AUDIT_WRITE: true, unix.CAP_SETFCAP: true,
		}
		cmd := run(t)
		ownthread.Run(func() {
			for c := range unix.CAP_LAST_CAP + 1 {
				if docker[c] {
					continue
				}
				// an older kernel has fewer
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL {
					t.Errorf("drop capability %d: %v", c, err)
					return
				}
			}
			check(t, finish(t, cmd))
		})
	})
}
