//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

// A unit is a service that runs the server.
type unit struct {
	name string // without .service
	site
}

// state is the properties of a unit.
type state struct {
	MainPID, Restarts, Stored   int
	Active, Sub, Result, Status string
	Group, Type                 string
}

// parseState parses the output of systemctl show.
func parseState(text string) state {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	number := func(name string) int { return must.Get(strconv.Atoi(values[name])) }
	return state{
		number("MainPID"), number("NRestarts"), number("NFileDescriptorStore"),
		values["ActiveState"], values["SubState"], values["Result"], values["StatusText"], values["ControlGroup"], values["Type"],
	}
}

// systemctl runs systemctl with a verb for the unit.
func (u unit) systemctl(args ...string) string {
	return driver.Systemctl(append(args, u.name+".service")...)
}

func (u unit) state() state {
	return parseState(u.systemctl("show",
		"--property=MainPID,NRestarts,NFileDescriptorStore,ActiveState,SubState,Result,StatusText,ControlGroup,Type"))
}

// processes returns the processes of the unit.
func (s state) processes() (pids []int) {
	if s.Group == "" {
		return nil
	}
	text, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", s.Group, "cgroup.procs"))
	for _, field := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(field)
		pids = append(pids, pid)
	}
	return pids
}

// replaced waits until the unit runs, and its main process is not the given one and answers. Others may drain.
func (u unit) replaced(old int) (pid int) {
	driver.Until(func() {
		s := u.state()
		pid = s.MainPID
		if s.Active != "active" || s.Sub != "running" || pid == 0 || pid == old {
			must.Failf("%s is %s (%s, %s), and its main process is %d (it was %d); its status is %q",
				u.name, s.Active, s.Sub, s.Result, pid, old, s.Status)
		}
		if answers := u.ask(); answers != pid {
			must.Failf("the main process of %s is %d, but %d answers", u.name, pid, answers)
		}
	})
	return pid
}

// alone is like replaced, and waits until the unit has no other process.
func (u unit) alone(old int) (pid int) {
	pid = u.replaced(old)
	driver.Until(func() { u.runs(pid) })
	return pid
}

// runs fails unless the unit's processes are the given ones, of which the last is the main process.
func (u unit) runs(pids ...int) {
	s := u.state()
	got := s.processes()
	slices.Sort(got)
	if main := pids[len(pids)-1]; s.MainPID != main {
		must.Failf("the main process of %s is %d, want %d", u.name, s.MainPID, main)
	}
	if want := slices.Sorted(slices.Values(pids)); !slices.Equal(got, want) {
		must.Failf("%s has the processes %d, want %d", u.name, got, want)
	}
}

// start starts the unit.
func (u unit) start() (pid int) {
	u.systemctl("start")
	return u.alone(0)
}

// reload makes the unit replace its server. ExecReload= only sends a signal, so the old server may still run when
// systemctl returns.
func (u unit) reload(old int) (pid int) {
	u.systemctl("reload")
	return u.replaced(old)
}

// stop stops the unit, and fails if that leaves a process.
func (u unit) stop() {
	before := u.state()
	u.systemctl("stop")
	if pids := before.processes(); len(pids) > 0 {
		must.Failf("%s has been stopped, but has the processes %d", u.name, pids)
	}
}

// install installs a new version of the server, which differs in what the word says. The empty word is the ordinary
// version.
func (u unit) install(word string) {
	file := "/run/" + u.name + ".does"
	if word == "" {
		must.OK(os.Remove(file))
		return
	}
	must.OK(os.WriteFile(file, []byte(word), 0o644))
}

func kill(pid int) { must.OK(unix.Kill(pid, unix.SIGKILL)) }
