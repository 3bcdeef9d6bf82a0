//go:build linux

package wire_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// The names that runc sends before and since 1.2.8, 1.3.3 and 1.4.0.
const oldName, newName = "/dev/ptmx", "/dev/pts/ptmx"

var _ = DescribeTable("--console-socket passes a container's terminal from", Label("real"),
	func(ctx SpecContext, runtime string, receiver wire.Format, texts ...string) {
		r := newRuntime(runtime)
		f := connect("unix")
		path, accept := f.listen()
		p := begin(r.command(ctx, "run", "--detach", "--bundle", bundle("echo hello from the container"), "--console-socket", path, r.container))
		name, fds, err := receiver.Recv(wire.FD(accept()))
		Expect(name, err).To(BeElementOf(texts))
		f.owns(fds...)
		master := fds[0]
		Expect(fdtest.Name(master)).To(HaveSuffix("ptmx"))
		Expect(readTerminal(master)).To(Equal("hello from the container\r\n"))
		p.waitSuccess()
	},
	Entry("runc to Recv in the "+quoted(wire.Runc), NodeTimeout(timeout), "runc", wire.Runc, oldName, newName),
	Entry("runc to Recv in the "+quoted(wire.Conmon), NodeTimeout(timeout), "runc", wire.Conmon, oldName, newName),
	Entry("crun to Recv in the "+quoted(wire.Crun), NodeTimeout(timeout), "crun", wire.Crun, ""),
	Entry("crun to Recv in the "+quoted(wire.Conmon), NodeTimeout(timeout), "crun", wire.Conmon, " "),
)

// ociRuntime runs one container and keeps its state in a folder of its own.
type ociRuntime struct {
	path, root, container string
}

// newRuntime returns the runtime with the given name. The container is deleted at the end of the spec.
func newRuntime(name string) ociRuntime {
	GinkgoHelper()
	r := ociRuntime{program(name, name), GinkgoT().TempDir(), fmt.Sprintf("scm-wire-%d-%d", os.Getpid(), GinkgoRandomSeed())}
	if why := canRunContainers(); why != "" {
		Skip(name + " cannot run a container: " + why)
	}
	DeferCleanup(func() {
		out, err := r.command(context.Background(), "delete", "--force", r.container).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
	})
	return r
}

// ownMounts runs a command with mounts of its own, where /sys/fs/cgroup is cgroup v2. Runtimes need a cgroup
// file system, and crun does not accept both versions at once.
const ownMounts = `
set -e
mountpoint -q /sys || mount -t sysfs sysfs /sys
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$0" "$@"`

func (r ociRuntime) command(ctx context.Context, words ...string) *exec.Cmd {
	words = append([]string{"--mount", "sh", "-c", ownMounts, r.path, "--root", r.root}, words...)
	return exec.CommandContext(ctx, "unshare", words...)
}

// canRunContainers returns why this process cannot run containers, or "" if it can.
var canRunContainers = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", ownMounts, "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("cannot create a mount namespace: %v: %s", err, out)
	}
	return ""
})

// bundle returns the folder of a container that has this machine's programs, and runs a script on a terminal.
func bundle(script string) string {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	Expect(os.Mkdir(filepath.Join(folder, "rootfs"), 0o755)).To(Succeed())
	type mount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options,omitempty"`
	}
	mounts := []mount{
		{"/proc", "proc", "proc", nil},
		{"/dev", "tmpfs", "tmpfs", nil},
		{"/dev/pts", "devpts", "devpts", []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
	}
	for _, path := range []string{"/usr", "/bin", "/lib", "/lib32", "/lib64"} {
		if _, err := os.Stat(path); err == nil {
			mounts = append(mounts, mount{path, "bind", path, []string{"rbind", "ro"}})
		}
	}
	type object map[string]any
	text, err := json.Marshal(object{
		"ociVersion": "1.0.2",
		"process":    object{"terminal": true, "user": object{"uid": 0, "gid": 0}, "args": []string{"/bin/sh", "-c", script}, "cwd": "/"},
		"root":       object{"path": "rootfs"},
		"mounts":     mounts,
		"linux":      object{"namespaces": []object{{"type": "pid"}, {"type": "mount"}}},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600)).To(Succeed())
	return folder
}

// readTerminal reads from a terminal's master until no process has the terminal open.
func readTerminal(master int) string {
	GinkgoHelper()
	var text strings.Builder
	p := make([]byte, 1024)
	for {
		n, err := unix.Read(master, p)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EIO || n == 0 {
			return text.String()
		}
		Expect(err).NotTo(HaveOccurred())
		text.Write(p[:n])
	}
}
