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
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// listening is the environment of a service that is handed two files, and what it
// learns of them. PID stands for the service's own.
type listening struct {
	name        string
	environment []string
	want        string
}

var listeningServices = []listening{
	{"of nothing", nil, ""},
	{"without names", []string{"LISTEN_PID=PID", "LISTEN_FDS=2"}, "3 unknown True\n4 unknown True\n"},
	{"with names", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:metrics"}, "3 http True\n4 metrics True\n"},
	{"with an empty name", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:"}, "3 http True\n4  True\n"},
	{"of one file", []string{"LISTEN_PID=PID", "LISTEN_FDS=1", "LISTEN_FDNAMES=http"}, "3 http True\n"},
	{"with more names than files", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b:c"}, "error\n"},
	{"with fewer names than files", []string{"LISTEN_PID=PID", "LISTEN_FDS=2", "LISTEN_FDNAMES=a"}, "error\n"},
	{"of another process", []string{"LISTEN_PID=1", "LISTEN_FDS=2"}, ""},
	{"of no process", []string{"LISTEN_PID=x", "LISTEN_FDS=2"}, "error\n"},
	{"of an empty process", []string{"LISTEN_PID=", "LISTEN_FDS=2"}, "error\n"},
	{"without a process", []string{"LISTEN_FDS=2"}, ""},
	{"without a number", []string{"LISTEN_PID=PID"}, ""},
	{"of no files", []string{"LISTEN_PID=PID", "LISTEN_FDS=0"}, "error\n"},
	{"of less than no files", []string{"LISTEN_PID=PID", "LISTEN_FDS=-1"}, "error\n"},
	{"of no number of files", []string{"LISTEN_PID=PID", "LISTEN_FDS=two"}, "error\n"},
	{"of too many files", []string{"LISTEN_PID=PID", "LISTEN_FDS=2147483647"}, "error\n"},
	{"of files that are not open", []string{"LISTEN_PID=PID", "LISTEN_FDS=900"}, "error\n"},
}

// service is the command, with the environment; the shell knows the PID.
func (l listening) service(ctx SpecContext, command ...string) *exec.Cmd {
	script := ""
	for _, variable := range l.environment {
		script += "export " + strings.ReplaceAll(variable, "=PID", "=$$") + "; "
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script + `exec "$0" "$@"`}, command...)...)
	cmd.Env = os.Environ()
	return cmd
}

// pidfdServices have LISTEN_PIDFDID, which libsystemd before version 258 does not know. OWN
// stands for the service's own.
var pidfdServices = []listening{
	{"by its pidfd", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=OWN", "LISTEN_FDS=2"}, "3 unknown True\n4 unknown True\n"},
	{"whose PID another process had", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=1", "LISTEN_FDS=2"}, ""},
	{"whose pidfd has no number", []string{"LISTEN_PID=PID", "LISTEN_PIDFDID=x", "LISTEN_FDS=2"}, "error\n"},
	{"of another process with a pidfd", []string{"LISTEN_PID=1", "LISTEN_PIDFDID=x", "LISTEN_FDS=2"}, ""},
}

var _ = Describe("ListenFDs", func() {
	for _, l := range slices.Concat(listeningServices, pidfdServices) {
		It("takes over the files of a service "+l.name, func(ctx SpecContext) {
			if _, err := ownPIDFDID(); err != nil && slices.Contains(l.environment, "LISTEN_PIDFDID=1") {
				Skip("LISTEN_PIDFDID is the inode of a pidfd (Linux 6.9): " + err.Error())
			}
			f := connect("unix")
			self := ok(os.Executable())
			command := []string{self}
			if emulator := fdtest.Emulator(); emulator != "" {
				command = []string{emulator, self}
			}
			cmd := l.service(ctx, command...)
			cmd.Env = ChildCommand("listen").Env
			Expect(hands(cmd, f.files(2)...)).To(Equal(l.want))
		}, NodeTimeout(patience))
	}
})

// ownPIDFDID returns the inode's number of a pidfd of this process.
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
		return "0", errors.New("here all pidfds have one inode")
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

var _ = Describe("LISTEN_FDS that is too large", func() {
	It("hands out nothing of the process's own, and changes nothing", func(ctx SpecContext) {
		CannotEmulate(fdtest.OwnFiles)
		f := connect("unix")
		self := ok(os.Executable())
		l := listening{environment: []string{"LISTEN_PID=PID", "LISTEN_FDS=3"}}
		cmd := l.service(ctx, self)
		cmd.Env = ChildCommand("listen-own").Env
		Expect(hands(cmd, f.files(2)...)).To(Equal("refused\n"))
	}, NodeTimeout(patience))
})

// listen-own has two descriptors of a service, and number 5 of its own.
var _ = child("listen-own", func([]string) error {
	if !fdtest.CloseOnExec(5) { // it may be the runtime's
		own, err := unix.FcntlInt(3, unix.F_DUPFD_CLOEXEC, 5)
		if err != nil || own != 5 {
			return fmt.Errorf("descriptor %d, and not 5: %w", own, err)
		}
	}
	fds, _, err := wire.ListenFDs()
	var format *wire.FormatError
	if !errors.As(err, &format) {
		return fmt.Errorf("handed out: %v, %w", fds, err)
	}
	for fd, want := range map[int]bool{3: false, 4: false, 5: true} {
		if fdtest.CloseOnExec(fd) != want {
			return fmt.Errorf("close-on-exec of %d is not %t any more", fd, want)
		}
	}
	fmt.Println("refused")
	return nil
})

var _ = child("listen", func([]string) error {
	if os.Getenv("LISTEN_PIDFDID") == "OWN" {
		id, _ := ownPIDFDID() // without an error it is compared
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
		if !errors.As(err, &format) && !errors.Is(err, unix.EBADF) {
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
		return fmt.Errorf("a second time: %v, %v", again, err)
	}
	return nil
})
