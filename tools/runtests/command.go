//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/testrecord"
)

// execute runs the command of a part.
func (r *run) execute(p *running) error {
	// The names are short, because the path of a socket below TMPDIR is limited to 107 bytes.
	number := strconv.Itoa(slices.Index(r.parts, p))
	tmp, records := filepath.Join(r.temporary, number), filepath.Join(r.temporary, number+"r")
	for _, folder := range []string{tmp, records} {
		if err := errors.Join(os.Mkdir(folder, 0o777), os.Chmod(folder, 0o777|os.ModeSticky)); err != nil {
			return err
		}
	}
	command, packages, err := r.commandOf(p)
	if err != nil {
		return err
	}
	r.Lock()
	for _, q := range packages {
		p.packages[q.name] = q
		p.names = append(p.names, q.name)
	}
	r.Unlock()
	if user := p.asUser(); user != "" {
		command = append([]string{user}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = r.environment(p, tmp, records)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	log, err := newLog(filepath.Join(r.results, p.Name+".log"))
	if err != nil {
		return ofResults(err)
	}
	r.Lock()
	p.log, p.records = log.name, records
	r.Unlock()
	defer func() {
		r.Lock()
		defer r.Unlock()
		r.note(ofResults(log.close()))
	}()
	log.Write([]byte(strings.Join(command, " ") + "\n"))
	return r.start(p, cmd, tmp, log)
}

// environment returns the environment of the command of a part.
func (r *run) environment(p *running, tmp, records string) []string {
	env := slices.DeleteFunc(r.environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	env = append(env, "TMPDIR="+tmp)
	if len(p.Packages) > 0 {
		env = append(env, testrecord.Variable+"="+records, goFlags())
		// The part partners, which has built them, has added the user's own.
		if r.noC == "" && slices.ContainsFunc(r.parts, func(o *running) bool { return o.Name == "partners" }) {
			root, _ := os.Getwd()
			env = append(env, "SCM_PARTNERS="+filepath.Join(root, "build/peers/partners.json"))
		}
	}
	return append(env, p.Env...)
}

// goFlags returns a GOFLAGS with which the go command compiles faster, also the programs that tests build: the compiler
// and the linker collect garbage less often, and the programs have no debugging information.
func goFlags() string {
	return "GOFLAGS='-toolexec=/usr/bin/env GOGC=400' -ldflags=-w " + goEnv("GOFLAGS")
}

// timeLimit is the time limit for the tests of a package. If they take longer, go test prints the stacks.
var timeLimit = 20 * time.Minute

// commandOf returns the command of a part, and the packages that it tests.
func (r *run) commandOf(p *running) (command []string, packages []*goPackage, err error) {
	if len(p.Packages) == 0 {
		return p.Command, nil, nil
	}
	packages, err = r.packagesOf(p)
	if err == nil && len(packages) == 0 {
		err = fmt.Errorf("no package matches %s", strings.Join(p.Packages, " "))
	}
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, q := range packages {
		names = append(names, q.name)
	}
	return r.goTest(p, names), packages, nil
}

// goTest returns the command that tests packages. It turns vet off, because make lint runs it.
func (r *run) goTest(p *running, packages []string) []string {
	command := []string{goCommand, "test"}
	if p.Dir != "" {
		command = append(command, "-C", p.Dir)
	}
	command = append(command, "-json", "-count=1", fmt.Sprint("-timeout=", fdtest.Limit(timeLimit)), "-vet=off", "-p="+strconv.Itoa(2*runtime.NumCPU()))
	if p.Exec != "" {
		command = append(command, "-exec="+os.Expand(p.Exec, func(name string) string {
			path, _ := filepath.Abs(map[string]string{"ROOT": ".", "KERNEL": os.Getenv("KERNEL")}[name])
			return path
		}))
	}
	if p.Tags != "" {
		command = append(command, "-tags="+p.Tags)
	}
	if p.asUser() != "" && r.noC == "" {
		command = append(command, "-short") // skips long tests whose result does not depend on the user
	}
	return slices.Concat(command, packages, p.Flags)
}

// start starts the command of a part, whose TMPDIR is tmp, and reads what it prints until it ends.
func (r *run) start(p *running, cmd *exec.Cmd, tmp string, log *logFile) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	r.Lock()
	if r.interrupted != nil {
		r.Unlock()
		return nil
	}
	if err := cmd.Start(); err != nil {
		r.Unlock()
		return err
	}
	p.group, p.outputs = cmd.Process.Pid, []io.Closer{out, errs}
	r.Unlock()
	var readers sync.WaitGroup
	readers.Add(2)
	go func() { defer readers.Done(); r.readOutput(p, out, log, len(p.Packages) > 0) }()
	go func() { defer readers.Done(); r.readOutput(p, errs, log, false) }()
	// A process that the command left running can keep its output open.
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	kill := time.AfterFunc(time.Second, func() { r.killLeft(tmp) })
	readers.Wait()
	kill.Stop()
	err = cmd.Wait()
	r.Lock()
	defer r.Unlock()
	p.group, p.outputs = 0, nil
	p.tap.end()
	for _, name := range p.names {
		log.Write(p.packages[name].log.Bytes())
	}
	return err
}
