//go:build linux

package wire_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
		folder := bundle("echo hello from the container")
		p := begin(r.command(ctx, "run", "--detach", "--bundle", folder, "--console-socket", path, r.container))
		name, fds := f.recv(receiver, accept())
		Expect(texts).To(ContainElement(name))
		Expect(fdtest.Name(fds[0])).To(HaveSuffix("ptmx"))
		Expect(readTerminal(fds[0])).To(Equal("hello from the container\r\n"))
		exits(p, 0)
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
	container := fmt.Sprintf("scm-wire-%d-%d", os.Getpid(), GinkgoRandomSeed())
	r := ociRuntime{program(name, name), GinkgoT().TempDir(), container}
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
	own := []string{"unshare", "--mount", "sh", "-c", ownMounts, r.path, "--root", r.root}
	return commandOf(ctx, own, words...)
}

// canRunContainers returns why this process cannot run containers, or "" if it can.
var canRunContainers = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	_, why := output("unshare", "--mount", "sh", "-c", ownMounts, "true")
	return why
})

// bundle returns the folder of a container that has this machine's programs, and runs a script on a terminal.
func bundle(script string) string {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	Expect(os.Mkdir(filepath.Join(folder, "rootfs"), 0o755)).To(Succeed())
	type object map[string]any
	mounts := []object{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
			"options": []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
	}
	for _, path := range []string{"/usr", "/bin", "/lib", "/lib32", "/lib64"} {
		if _, err := os.Stat(path); err == nil {
			options := []string{"rbind", "ro"}
			mounts = append(mounts, object{"destination": path, "type": "bind", "source": path, "options": options})
		}
	}
	process := object{"terminal": true, "user": object{"uid": 0, "gid": 0}, "cwd": "/"}
	process["args"] = []string{"/bin/sh", "-c", script}
	text := ok(json.Marshal(object{
		"ociVersion": "1.0.2",
		"process":    process,
		"root":       object{"path": "rootfs"},
		"mounts":     mounts,
		"linux":      object{"namespaces": []object{{"type": "pid"}, {"type": "mount"}}},
	}))
	Expect(os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600)).To(Succeed())
	return folder
}

// readTerminal reads from a terminal's master until no process has the terminal open.
func readTerminal(master int) string {
	GinkgoHelper()
	text, err := io.ReadAll(duplicate(master))
	Expect(err).To(Or(Succeed(), MatchError(unix.EIO)))
	return string(text)
}
