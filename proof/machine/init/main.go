//go:build linux || netbsd

// Command init is the first process in an emulated machine. It runs the commands in the file /commands, and then
// turns the machine off. If the machine has a different first process, it starts `/init run` to run the commands.
//
// `init as UID PROGRAM ARGUMENT…` is a command that runs a program in /src as another user. The program's output goes
// to the console and, without what the kernel prints there, to a file.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/machine/console"
	"github.com/scm-rights/scm/proof/must"
)

func main() {
	if len(os.Args) > 1 {
		must.Main("init", map[string]func(){"run": run, "as": as}[os.Args[1]])
		return
	}
	prepare()
	if err := must.Try(loopback); err != nil {
		fmt.Println("loopback:", err)
	}
	// The first process must wait for every orphaned process, so a child runs the commands.
	child, err := os.StartProcess(self, []string{"init", "run"}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Env:   []string{"PATH=/bin:/usr/bin", "HOME=/tmp", "TMPDIR=/tmp"},
	})
	if err != nil {
		fmt.Println(err)
	}
	for child != nil {
		if pid, err := unix.Wait4(-1, nil, 0, nil); pid == child.Pid || err != nil && err != unix.EINTR {
			break
		}
	}
	off()
}

// run runs the commands. They leave files in /out.
func run() {
	var commands console.Commands
	must.OK(json.Unmarshal(must.Get(os.ReadFile("/commands")), &commands))
	must.OK(os.MkdirAll("/out", 0o777))
	commands.Run("/out", os.Stdout)
}

func as() {
	id := uint32(must.Get(strconv.ParseUint(os.Args[2], 10, 32)))
	log := must.Get(os.Create("/out/log"))
	cmd := exec.Command(os.Args[3], os.Args[4:]...)
	cmd.Dir = "/src"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	cmd.Stdout = io.MultiWriter(os.Stdout, log)
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = time.Minute // a child that the program leaves behind keeps the pipe open
	must.OK(cmd.Run())
}
