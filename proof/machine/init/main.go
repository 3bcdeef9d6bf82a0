//go:build linux

// Command init is the first process in an emulated machine. It runs the commands in the file /commands, and then
// turns the machine off. If the machine has a different first process, it starts `/init run` to run the commands.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/machine/console"
	"github.com/scm-rights/scm/proof/must"
)

var mounts = []struct{ kind, dir string }{
	{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"}, {"mqueue", "/dev/mqueue"},
	{"tmpfs", "/dev/shm"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"cgroup2", "/sys/fs/cgroup"},
}

func main() {
	if len(os.Args) > 1 {
		if err := must.Try(run); err != nil {
			fmt.Println("init:", err)
		}
		return
	}
	for _, m := range mounts {
		_ = os.MkdirAll(m.dir, 0o755)
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			fmt.Println("mount", m.dir, err)
		}
	}
	for name, to := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		_ = os.Symlink("/proc/self/fd"+to, "/dev/"+name)
	}
	if err := must.Try(loopback); err != nil {
		fmt.Println("loopback:", err)
	}
	// The first process must wait for every orphaned process, so a child runs the commands.
	child, err := os.StartProcess("/init", []string{"init", "run"}, &os.ProcAttr{
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
	// Some machines cannot power off. QEMU also ends when the machine restarts (-no-reboot).
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// loopback brings up the network interface lo.
func loopback() {
	sock := must.Get(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(sock)
	request := must.Get(unix.NewIfreq("lo"))
	request.SetUint16(unix.IFF_UP)
	must.OK(unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, request))
}

// run runs the commands. They leave files in /out.
func run() {
	var commands console.Commands
	must.OK(json.Unmarshal(must.Get(os.ReadFile("/commands")), &commands))
	must.OK(os.MkdirAll("/out", 0o777))
	commands.Run("/out", os.Stdout)
}
