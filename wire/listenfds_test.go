//go:build linux

package wire_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// listening is the environment of a service that gets two files, and the output of the service. The service
// replaces PID by its own PID.
type listening struct {
	name        string // the condition, which follows "if"
	environment []string
	want        string
}

var listeningServices = []listening{
	{"no LISTEN_ variable is set", nil, ""},
	{"LISTEN_FDNAMES is not set", []string{"LISTEN_PID=PID", "LISTEN_FDS=2"}, "3 unknown True\n4 unknown True\n"},
	{"LISTEN_FDNAMES has a name for each file", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:metrics"}, "3 http True\n4 metrics True\n"},
	{"LISTEN_FDNAMES contains an empty name", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:"}, "3 http True\n4  True\n"},
	{"LISTEN_FDS is 1", []string{"LISTEN_PID=PID", "LISTEN_FDS=1", "LISTEN_FDNAMES=http"}, "3 http True\n"},
	{"LISTEN_FDNAMES has too many names", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b:c"}, "error\n"},
	{"LISTEN_FDNAMES has too few names", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=a"}, "error\n"},
	{"LISTEN_PID is the PID of another process", []string{"LISTEN_PID=1", "LISTEN_FDS=2"}, ""},
	{"LISTEN_PID is not a number", []string{"LISTEN_PID=x", "LISTEN_FDS=2"}, "error\n"},
	{"LISTEN_PID is empty", []string{"LISTEN_PID=", "LISTEN_FDS=2"}, "error\n"},
	{"LISTEN_PID is not set", []string{"LISTEN_FDS=2"}, ""},
	{"LISTEN_FDS is not set", []string{"LISTEN_PID=PID"}, ""},
	{"LISTEN_FDS is 0", []string{"LISTEN_PID=PID", "LISTEN_FDS=0"}, "error\n"},
	{"LISTEN_FDS is negative", []string{"LISTEN_PID=PID", "LISTEN_FDS=-1"}, "error\n"},
	{"LISTEN_FDS is not a number", []string{"LISTEN_PID=PID", "LISTEN_FDS=two"}, "error\n"},
	{"LISTEN_FDS is too large", []string{"LISTEN_PID=PID", "LISTEN_FDS=2147483647"}, "error\n"},
	{"LISTEN_FDS includes descriptors that are not open", []string{"LISTEN_PID=PID", "LISTEN_FDS=900"}, "error\n"},
}

// outcome describes what ListenFDs does.
func (l listening) outcome() string {
	switch l.want {
	case "":
		return "returns no file"
	case "error\n":
		return "returns an error"
	}
	return "returns the files"
}

// service returns a command that runs with the environment. A shell fills in the PID.
func (l listening) service(ctx SpecContext, command ...string) *exec.Cmd {
	script := ""
	for _, variable := range l.environment {
		script += "export " + strings.ReplaceAll(variable, "=PID", "=$$") + "; "
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script + `exec "$0" "$@"`}, command...)...)
	cmd.Env = os.Environ()
	return cmd
}

// pidfdServices have LISTEN_PIDFDID, which libsystemd ignores before version 259. The service replaces OWN by
// the inode number of its own pidfd.
var pidfdServices = []listening{
	{"LISTEN_PIDFDID identifies the process", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=OWN", "LISTEN_FDS=2"}, "3 unknown True\n4 unknown True\n"},
	{"LISTEN_PIDFDID identifies an earlier process with the same PID", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=1", "LISTEN_FDS=2"}, ""},
	{"LISTEN_PIDFDID is not a number", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=x", "LISTEN_FDS=2"}, "error\n"},
	{"LISTEN_PID is the PID of another process, and LISTEN_PIDFDID is not a number", []string{"LISTEN_PID=1", "LISTEN_PIDFDID=x", "LISTEN_FDS=2"}, ""},
}

var _ = Describe("ListenFDs", func() {
	for _, l := range slices.Concat(listeningServices, pidfdServices) {
		It(l.outcome()+" if "+l.name, func(ctx SpecContext) {
			if _, err := ownPIDFDID(); err != nil && slices.Contains(l.environment, "LISTEN_PIDFDID=1") {
				Skip("LISTEN_PIDFDID needs a pidfd with an inode of its own (Linux 6.9): " + err.Error())
			}
			f := connect("unix")
			cmd := l.service(ctx, reexec.CommandLine("listen")...)
			Expect(runWithFDs(cmd, f.files(2)...)).To(Equal(l.want))
		}, NodeTimeout(timeout))
	}
})

// ownPIDFDID returns the inode number of a pidfd of this process.
func ownPIDFDID() (string, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return "0", err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(fd, &fs), unix.Fstat(fd, &st)); err != nil {
		return "0", err
	}
	if fs.Type != unix.PID_FS_MAGIC { // before Linux 6.9
		return "0", errors.New("all pidfds share one inode")
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

var _ = It("ListenFDs does not return or change descriptors that the process opened itself, even if LISTEN_FDS includes them", func(ctx SpecContext) {
	CannotEmulate(fdtest.OwnFiles)
	f := connect("unix")
	l := listening{environment: []string{"LISTEN_PID=PID", "LISTEN_FDS=3"}}
	cmd := l.service(ctx, reexec.CommandLine("listen-own")...)
	Expect(runWithFDs(cmd, f.files(2)...)).To(Equal("refused\n"))
}, NodeTimeout(timeout))

// listen-own gets two descriptors and opens descriptor 5 itself.
var _ = child("listen-own", func([]string) error {
	if !fdtest.CloseOnExec(5) { // the runtime may have opened it
		own, err := unix.FcntlInt(3, unix.F_DUPFD_CLOEXEC, 5)
		if err != nil || own != 5 {
			return fmt.Errorf("opened descriptor %d, want 5: %w", own, err)
		}
	}
	fds, _, err := wire.ListenFDs()
	var format *wire.FormatError
	if !errors.As(err, &format) {
		return fmt.Errorf("returned %v, %w", fds, err)
	}
	for fd, want := range map[int]bool{3: false, 4: false, 5: true} {
		if fdtest.CloseOnExec(fd) != want {
			return fmt.Errorf("close-on-exec of %d is no longer %t", fd, want)
		}
	}
	fmt.Println("refused")
	return nil
})

var _ = child("listen", func([]string) error {
	if os.Getenv("LISTEN_PIDFDID") == "OWN" {
		id, _ := ownPIDFDID() // after an error ListenFDs does not compare it
		if err := os.Setenv("LISTEN_PIDFDID", id); err != nil {
			return err
		}
	}
	fds, names, err := wire.ListenFDs()
	switch {
	case err != nil && (len(fds) > 0 || len(names) > 0 || len(names) != len(fds)):
		return fmt.Errorf("%v, %v and %w", fds, names, err)
	case err != nil:
		var format *wire.FormatError
		isFormat := errors.As(err, &format) && format.Format == "listen-fds"
		if !isFormat && !errors.Is(err, unix.EBADF) {
			return err
		}
		fmt.Println("error")
	}
	for i, fd := range fds {
		closed := map[bool]string{true: "True", false: "False"}[fdtest.CloseOnExec(fd)]
		fmt.Println(fd, names[i], closed)
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			return fmt.Errorf("%s is left in the environment", variable)
		}
	}
	again, _, err := wire.ListenFDs()
	if len(again) > 0 || err != nil {
		return fmt.Errorf("the second call returned %v, %v", again, err)
	}
	return nil
})
