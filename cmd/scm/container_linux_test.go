package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Root of a container lacks capabilities that scenarios for root use: these scenarios are
// unsupported there, and no failure.
func TestRootOfAContainer(t *testing.T) {
	run := func(t *testing.T) *exec.Cmd {
		return exec.Command(program(t, "scm"), "interop", "run", "--builtin=false", "--run", "basics/pass-one-fd",
			"--run", "credentials/{creds-forged-uid,privilege-at-open}", "--run", "kinds/kind-namespace-fd")
	}
	check := func(t *testing.T, r result) {
		if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "verdicts: 3: 3 pass") || !strings.Contains(r.stdout, "without a verdict: 9 unsupported, 0 not run") {
			t.Errorf("got %+v", r)
		}
	}
	t.Run("of a user namespace", func(t *testing.T) {
		attr := &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
		// First without the mappings: where clone(2) fails, package syscall leaves a pipe open.
		for _, attr := range []*syscall.SysProcAttr{{Cloneflags: attr.Cloneflags}, attr} {
			probe := exec.Command("true")
			probe.SysProcAttr = attr
			if err := probe.Run(); err != nil {
				t.Skip("no user namespace can be had here: ", err)
			}
		}
		cmd := run(t)
		cmd.SysProcAttr = attr
		check(t, finish(t, cmd))
	})
	t.Run("with Docker's capabilities", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root has capabilities to drop")
		}
		docker := map[int]bool{
			unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true, unix.CAP_KILL: true,
			unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETPCAP: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_NET_RAW: true,
			unix.CAP_SYS_CHROOT: true, unix.CAP_MKNOD: true, unix.CAP_AUDIT_WRITE: true, unix.CAP_SETFCAP: true,
		}
		cmd, done := run(t), make(chan result)
		go func() {
			defer close(done)
			runtime.LockOSThread() // for ever: the thread ends with the goroutine
			for c := range unix.CAP_LAST_CAP + 1 {
				if docker[c] {
					continue
				}
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL { // an older kernel has fewer
					t.Error(err)
					return
				}
			}
			done <- finish(t, cmd)
		}()
		if r, ok := <-done; ok {
			check(t, r)
		}
	})
}

// In a network namespace where lo is down, bind(2) of an Internet socket works and connect(2)
// fails. The scenarios with such sockets are then unsupported.
func TestWithoutNetwork(t *testing.T) {
	without := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		}
		return cmd
	}
	if err := without(exec.Command("true")).Run(); err != nil {
		t.Skip("no network namespace can be had here: ", err)
	}
	r := finish(t, without(exec.Command(program(t, "scm"), "interop", "run", "--builtin=false", "--json", "--run", "basics/pass-one-fd",
		"--run", "kinds/kind-{tcp,udp}*", "--run", "hostile/rights-over-{tcp,udp}*")))
	var report struct {
		Cases []struct{ Name, Verdict, Why string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 0 || r.stderr != "" || len(report.Cases) < 20 {
		t.Errorf("%v, %d cases, got %d, %s", err, len(report.Cases), r.code, r.stderr)
	}
	why := regexp.MustCompile(`^this system has no (tcp|tcp-listener|udp): 127\.0\.0\.1 cannot be reached: network is unreachable$`)
	for _, c := range report.Cases {
		if local := strings.HasPrefix(c.Name, "basics/"); local && c.Verdict != "pass" || !local && (c.Verdict != "unsupported" || !why.MatchString(c.Why)) {
			t.Errorf("%s: %s: %s", c.Name, c.Verdict, c.Why)
		}
	}
}

// Runs that share a network namespace may have the same process numbers, in PID namespaces
// of their own: their abstract sockets have other names.
func TestAbstractNamesOfTwoRuns(t *testing.T) {
	form := regexp.MustCompile(`abstract:scm-(\w+)-[0-9]+-[0-9]+\.n\b`)
	seen := map[string]bool{}
	for range 2 {
		r := command(t, "interop", "run", "--json", "--builtin=false", "--run", "sockets/abstract-name-goes-with-its-socket")
		names := form.FindAllStringSubmatch(r.stdout, -1)
		if r.code != 0 || len(names) == 0 {
			t.Fatalf("%d names in %+v", len(names), r)
		}
		if word := names[0][1]; seen[word] {
			t.Errorf("%s again", names[0][0])
		} else {
			seen[word] = true
		}
	}
}
