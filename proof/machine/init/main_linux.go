package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

// self is the path of this program.
const self = "/init"

var mounts = []struct{ kind, dir string }{
	{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"}, {"mqueue", "/dev/mqueue"},
	{"tmpfs", "/dev/shm"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"cgroup2", "/sys/fs/cgroup"},
}

// prepare mounts the file systems that programs expect.
func prepare() {
	for _, m := range mounts {
		_ = os.MkdirAll(m.dir, 0o755)
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			fmt.Println("mount", m.dir, err)
		}
	}
	for name, to := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		_ = os.Symlink("/proc/self/fd"+to, "/dev/"+name)
	}
}

// loopback brings up the network interface lo.
func loopback() {
	sock := must.Get(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(sock)
	request := must.Get(unix.NewIfreq("lo"))
	request.SetUint16(unix.IFF_UP)
	must.OK(unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, request))
}

// off turns the machine off. Some machines cannot power off. QEMU also ends when the machine restarts (-no-reboot).
func off() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}
