package wire

import (
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// listenFDsStart is the first number that a service manager passes.
const listenFDsStart = 3

// ListenFDs takes over what a service manager passed to this process at its start
// (sd_listen_fds_with_names of libsystemd): LISTEN_FDS descriptors from number 3
// on, if LISTEN_PID is this process, with the names in LISTEN_FDNAMES, or
// "unknown" each where that is not set. If nothing was passed it returns none, and
// no error. If LISTEN_PIDFDID is set, as by systemd 258, and the kernel numbers processes
// (Linux 6.9), it must be this process's number too: another process can have had its PID.
//
// The descriptors are made close-on-exec and are the caller's to close. The four
// variables are removed, so that children do not see them, and a second call
// returns none.
//
// Values that make no sense are a *FormatError, and so is a LISTEN_FDS that counts
// a descriptor which is close-on-exec: this process opened that one, the Go runtime
// perhaps. A descriptor that is not open is EBADF. On error no descriptor is closed
// or changed: it may be anybody's.
func ListenFDs() (fds []int, names []string, err error) {
	pid, passed := takeVariable("LISTEN_PID")
	pidfdID, numbered := takeVariable("LISTEN_PIDFDID")
	count, counted := takeVariable("LISTEN_FDS")
	joined, named := takeVariable("LISTEN_FDNAMES")
	if !passed {
		return nil, nil, nil
	}
	p, err := strconv.Atoi(pid)
	if err != nil || p <= 0 {
		return nil, nil, listenError("LISTEN_PID is %q, not a process", pid)
	}
	if p != os.Getpid() {
		return nil, nil, nil
	}
	if numbered {
		id, err := strconv.ParseUint(pidfdID, 10, 64)
		if err != nil {
			return nil, nil, listenError("LISTEN_PIDFDID is %q, not the number of a process", pidfdID)
		}
		if own, ok := sys.OwnPIDFDID(); ok && own != id {
			return nil, nil, nil
		}
	}
	if !counted {
		return nil, nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n <= 0 || n > math.MaxInt32-listenFDsStart {
		return nil, nil, listenError("LISTEN_FDS is %q, not a number of descriptors", count)
	}
	if named {
		if names = strings.Split(joined, ":"); len(names) != n {
			return nil, nil, listenError("%d names in LISTEN_FDNAMES, and %d descriptors", len(names), n)
		}
	}
	for fd := listenFDsStart; fd < listenFDsStart+n; fd++ {
		switch own, err := sys.IsCloseOnExec(fd); {
		case err != nil:
			return nil, nil, err
		case own:
			return nil, nil, listenError("LISTEN_FDS is %q, and descriptor %d is this process's own: it is close-on-exec", count, fd)
		}
	}
	for fd := listenFDsStart; fd < listenFDsStart+n; fd++ {
		if err := sys.CloseOnExec(fd); err != nil {
			return nil, nil, err
		}
		fds = append(fds, fd)
		if !named {
			names = append(names, "unknown")
		}
	}
	return fds, names, nil
}

func listenError(format string, args ...any) error {
	return label{name: "listen-fds"}.errorf(format, args...)
}

// takeVariable removes a variable from the environment.
func takeVariable(name string) (value string, ok bool) {
	value, ok = os.LookupEnv(name)
	_ = os.Unsetenv(name)
	return value, ok
}
