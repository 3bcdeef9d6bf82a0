//go:build linux

package wire_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

const (
	formatVariable = "WIRE_TEST_FORMAT"
	inputVariable  = "WIRE_TEST_INPUT"
)

// The child is the runtime that conmon runs. It starts a shell as the container and sends the master of its
// terminal in the format.
var _ = Child("runtime", func(args []string) {
	option := func(name string) string { return args[slices.Index(args, name)+1] }
	master := ok(os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0))
	number := ok(unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN))
	Expect(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)).To(Succeed())
	terminal := ok(os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0))

	container := exec.Command("sh", "-c", "echo hello from the container; read line; exit 3")
	container.Stdin = ok(os.Open(os.Getenv(inputVariable)))
	container.Stdout, container.Stderr = terminal, terminal
	Expect(container.Start()).To(Succeed())
	pid := strconv.Itoa(container.Process.Pid)
	Expect(os.WriteFile(option("--pid-file"), []byte(pid), 0o600)).To(Succeed())

	sock := ok(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	Expect(unix.Connect(sock, &unix.SockaddrUnix{Name: option("--console-socket")})).To(Succeed())
	format, _ := wire.Lookup(os.Getenv(formatVariable))
	text := "/dev/ptmx"
	if format == wire.Crun {
		text = ""
	}
	Expect(format.Send(wire.FD(sock), text, int(master.Fd()))).To(Succeed())
})

var _ = Describe("conmon", Label("real"), func() {
	for _, format := range []wire.Format{wire.Conmon, wire.Runc, wire.Crun} {
		It("receives a container's terminal in the "+quoted(format), func(ctx SpecContext) {
			conmon := program("conmon", "conmon")
			self := ok(os.Executable())
			folder := GinkgoT().TempDir()
			file := func(name string) string { return filepath.Join(folder, name) }
			// When conmon 2.1.12 exits, it removes the container's files from the folder of sockets.
			statuses := GinkgoT().TempDir()

			// The container ends when all write ends of its input are closed.
			Expect(unix.Mkfifo(file("input"), 0o600)).To(Succeed())
			input := ok(os.OpenFile(file("input"), os.O_RDWR, 0))
			DeferCleanup(func() { _ = input.Close() })

			cmd := exec.CommandContext(ctx, conmon, "--sync", "--terminal",
				"--cid", "container", "--cuuid", "container", "--runtime", self, "--bundle", folder,
				"--container-pidfile", file("pid"), "--log-path", "k8s-file:"+file("log"),
				"--exit-dir", statuses, "--socket-dir-path", folder)
			cmd.Env = append(reexec.Environ("runtime"),
				formatVariable+"="+format.Name(), inputVariable+"="+file("input"))
			p := begin(cmd)

			contentOf := func(path string) string {
				text, _ := os.ReadFile(path)
				return string(text)
			}
			Eventually(contentOf, timeout).WithArguments(file("log")).Should(ContainSubstring("hello from the"))
			Expect(input.Close()).To(Succeed())
			<-p.Exited // with any status
			Expect(contentOf(filepath.Join(statuses, "container"))).To(Equal("3"), "exit status of the container")
		}, NodeTimeout(timeout))
	}
})
