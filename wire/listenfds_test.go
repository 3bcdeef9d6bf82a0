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

// listening is the environment of a service that gets two files, and the output of the service.
type listening struct {
	variables string // assignments, for a shell with the PID of the service
	want      string
}

const (
	twoUnknown = "3 unknown True\n4 unknown True\n"
	fails      = "error\n"
)

var listeningServices = []listening{
	{"", ""},
	{"LISTEN_PID=$$ LISTEN_FDS=2", twoUnknown},
	{"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:metrics", "3 http True\n4 metrics True\n"},
	{"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:", "3 http True\n4  True\n"},
	{"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http", "3 http True\n"},
	{"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b:c", fails},
	{"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a", fails},
	{"LISTEN_PID=1 LISTEN_FDS=2", ""}, // for another process
	{"LISTEN_PID=x LISTEN_FDS=2", fails},
	{"LISTEN_PID= LISTEN_FDS=2", fails},
	{"LISTEN_FDS=2", ""},
	{"LISTEN_PID=$$", ""},
	{"LISTEN_PID=$$ LISTEN_FDS=0", fails},
	{"LISTEN_PID=$$ LISTEN_FDS=-1", fails},
	{"LISTEN_PID=$$ LISTEN_FDS=two", fails},
	{"LISTEN_PID=$$ LISTEN_FDS=2147483647", fails}, // the last descriptor does not fit into an int32
	{"LISTEN_PID=$$ LISTEN_FDS=900", fails},        // not all are open
}

// pidfdServices have LISTEN_PIDFDID, which libsystemd ignores before version 259. The service replaces OWN by
// the inode number of its own pidfd.
var pidfdServices = []listening{
	{"LISTEN_PID=$$ LISTEN_PIDFDID=OWN LISTEN_FDS=2", twoUnknown},
	{"LISTEN_PID=$$ LISTEN_PIDFDID=1 LISTEN_FDS=2", ""}, // for an earlier process with the same PID
	{"LISTEN_PID=$$ LISTEN_PIDFDID=x LISTEN_FDS=2", fails},
	{"LISTEN_PID=1 LISTEN_PIDFDID=x LISTEN_FDS=2", ""},
}

// service returns a command that runs with the environment.
func (l listening) service(ctx SpecContext, command ...string) *exec.Cmd {
	return commandOf(ctx, []string{"sh", "-c", l.variables + ` exec "$0" "$@"`}, command...)
}

var _ = Describe("ListenFDs", func() {
	for _, l := range slices.Concat(listeningServices, pidfdServices) {
		It(fmt.Sprintf("returns %q in a service with %q", l.want, l.variables), func(ctx SpecContext) {
			if _, err := ownPIDFDID(); err != nil && strings.Contains(l.variables, "LISTEN_PIDFDID=1") {
				Skip("LISTEN_PIDFDID needs a pidfd with an inode of its own (Linux 6.9): " + err.Error())
			}
			f := connect("unix")
			cmd := l.service(ctx, reexec.CommandLine("listen")...)
			Expect(runWithFDs(cmd, f.files(2)...)).To(Equal(l.want))
		}, NodeTimeout(timeout))
	}

	It("does not return or change descriptors that the process opened itself, even if LISTEN_FDS includes them",
		func(ctx SpecContext) {
			CannotEmulate(fdtest.OwnFiles)
			f := connect("unix")
			l := listening{variables: "LISTEN_PID=$$ LISTEN_FDS=3"}
			runWithFDs(l.service(ctx, reexec.CommandLine("listen-own")...), f.files(2)...)
		}, NodeTimeout(timeout))
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

// listen-own gets two descriptors and opens descriptor 5 itself.
var _ = Child("listen-own", func([]string) {
	if !fdtest.CloseOnExec(5) { // the runtime may have opened it
		Expect(unix.FcntlInt(3, unix.F_DUPFD_CLOEXEC, 5)).To(Equal(5))
	}
	fds, _, err := wire.ListenFDs()
	Expect(err).To(HaveField("Format", "listen-fds"))
	Expect(fds).To(BeEmpty())
	for fd, want := range map[int]bool{3: false, 4: false, 5: true} {
		Expect(fdtest.CloseOnExec(fd)).To(Equal(want), "close-on-exec of descriptor %d", fd)
	}
})

var _ = Child("listen", func([]string) {
	if os.Getenv("LISTEN_PIDFDID") == "OWN" {
		id, _ := ownPIDFDID() // after an error ListenFDs does not compare it
		Expect(os.Setenv("LISTEN_PIDFDID", id)).To(Succeed())
	}
	fds, names, err := wire.ListenFDs()
	if err != nil {
		Expect(err).To(Or(MatchError(unix.EBADF), HaveField("Format", "listen-fds")))
		Expect(fds).To(BeEmpty())
		fmt.Println("error")
	}
	Expect(names).To(HaveLen(len(fds)))
	for i, fd := range fds {
		fmt.Println(fd, names[i], map[bool]string{true: "True", false: "False"}[fdtest.CloseOnExec(fd)])
	}
	Expect(os.Environ()).NotTo(ContainElement(HavePrefix("LISTEN_")))
	again, _, err := wire.ListenFDs()
	Expect(again, err).To(BeEmpty(), "the second call")
})
