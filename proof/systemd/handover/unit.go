//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
func parseState(text string) (s state, err error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	number := func(name string) int {
		n, notNumber := strconv.Atoi(values[name])
		err = errors.Join(err, notNumber)
		return n
	}
	return state{
		number("MainPID"), number("NRestarts"), number("NFileDescriptorStore"),
		values["ActiveState"], values["SubState"], values["Result"], values["StatusText"], values["ControlGroup"], values["Type"],
	}, err
}

func (u unit) state() (state, error) {
	text, err := driver.Systemctl("show", u.name+".service",
		"--property=MainPID,NRestarts,NFileDescriptorStore,ActiveState,SubState,Result,StatusText,ControlGroup,Type")
	if err != nil {
		return state{}, err
	}
	return parseState(text)
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
func (u unit) replaced(old int) (pid int, err error) {
	err = driver.Until(func() error {
		s, err := u.state()
		if err != nil {
			return err
		}
		pid = s.MainPID
		if s.Active != "active" || s.Sub != "running" || pid == 0 || pid == old {
			return fmt.Errorf("%s is %s (%s, %s), and its main process is %d (it was %d); its status is %q", u.name, s.Active, s.Sub, s.Result, pid, old, s.Status)
		}
		answers, err := u.ask()
		if err == nil && answers != pid {
			err = fmt.Errorf("the main process of %s is %d, but %d answers", u.name, pid, answers)
		}
		return err
	})
	return pid, err
}

// alone is like replaced, and waits until the unit has no other process.
func (u unit) alone(old int) (pid int, err error) {
	if pid, err = u.replaced(old); err != nil {
		return pid, err
	}
	return pid, driver.Until(func() error { return u.runs(pid) })
}

// runs returns an error unless the unit's processes are the given ones, of which the last is the main process.
func (u unit) runs(pids ...int) error {
	s, err := u.state()
	if err != nil {
		return err
	}
	got := s.processes()
	slices.Sort(got)
	if main := pids[len(pids)-1]; s.MainPID != main {
		return fmt.Errorf("the main process of %s is %d, want %d", u.name, s.MainPID, main)
	}
	if want := slices.Sorted(slices.Values(pids)); !slices.Equal(got, want) {
		return fmt.Errorf("%s has the processes %d, want %d", u.name, got, want)
	}
	return nil
}

// start starts the unit.
func (u unit) start() (pid int, err error) {
	if _, err := driver.Systemctl("start", u.name+".service"); err != nil {
		return 0, err
	}
	return u.alone(0)
}

// reload makes the unit replace its server. ExecReload= only sends a signal, so the old server may still run when
// systemctl returns.
func (u unit) reload(old int) (pid int, err error) {
	if _, err := driver.Systemctl("reload", u.name+".service"); err != nil {
		return 0, err
	}
	return u.replaced(old)
}

// stop stops the unit, and returns an error if that leaves a process.
func (u unit) stop() error {
	before, err := u.state()
	if err != nil {
		return err
	}
	if _, err := driver.Systemctl("stop", u.name+".service"); err != nil {
		return err
	}
	if pids := before.processes(); len(pids) > 0 {
		return fmt.Errorf("%s has been stopped, but has the processes %d", u.name, pids)
	}
	return nil
}

// install installs a new version of the server, which differs in what the word says. The empty word is the ordinary
// version.
func (u unit) install(word string) error {
	file := "/run/" + u.name + ".does"
	if word == "" {
		return os.Remove(file)
	}
	return os.WriteFile(file, []byte(word), 0o644)
}

func kill(pid int) error { return unix.Kill(pid, unix.SIGKILL) }
