//go:build linux

// Command init is the first process in an emulated machine. It runs the commands in the file /commands, a JSON
// list of lists of words, and prints the files that each command leaves in /out, in the format that package
// machine reads. Then it turns the machine off.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var mounts = []struct{ kind, dir string }{
	{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"}, {"mqueue", "/dev/mqueue"},
	{"tmpfs", "/dev/shm"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"cgroup2", "/sys/fs/cgroup"},
}

func main() {
	if len(os.Args) > 1 {
		run()
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
	if err := loopback(); err != nil {
		fmt.Println("loopback:", err)
	}
	// The first process must collect every process that ends, so another one runs the commands.
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
	off()
}

// off turns the machine off. QEMU ends when the machine restarts, too, which is all that some machines can do.
func off() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// loopback brings up the network interface lo.
func loopback() error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, request)
}

// run runs the commands.
func run() {
	text, err := os.ReadFile("/commands")
	if err != nil {
		fmt.Println(err)
		return
	}
	var commands [][]string
	if err := json.Unmarshal(text, &commands); err != nil {
		fmt.Println(err)
		return
	}
	_ = os.Mkdir("/out", 0o777)
	for _, words := range commands {
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		failed := cmd.Run()
		names, _ := filepath.Glob("/out/*") // the pattern is correct
		for _, name := range names {
			if err := show(name); err != nil {
				fmt.Println(err)
			}
		}
		if failed != nil {
			fmt.Printf("\n@@ended %v\n", failed)
			continue
		}
		fmt.Print("\n@@ended\n")
	}
}

// show prints a file as gzip and base64, and removes it.
func show(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(text) // a Buffer takes everything
	_ = z.Close()
	printed := base64.StdEncoding.EncodeToString(packed.Bytes())
	fmt.Printf("\n@@file %s\n", filepath.Base(name))
	for len(printed) > 0 {
		n := min(len(printed), 120)
		fmt.Printf("@@= %s\n", printed[:n])
		printed = printed[n:]
	}
	fmt.Print("@@end\n")
	return os.Remove(name)
}
