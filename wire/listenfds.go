package wire

import (
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// listenFDsStart is the first descriptor that a service manager passes.
const listenFDsStart = 3

// ListenFDs returns the descriptors that a service manager passed to this process, if any, and the name of
// each. The descriptors are close-on-exec, and the caller must close them. ListenFDs removes the variables
// from the environment, so a second call returns no descriptors.
//
// If a variable is invalid, or if one of the descriptors is close-on-exec, which means that this process opened it, the
// error is a *FormatError. ListenFDs cannot recognize a descriptor that this process opened without close-on-exec, as C
// libraries may do. If a descriptor is not open, the error wraps EBADF. On error, ListenFDs does not close or change
// any descriptor.
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
		return nil, nil, listenError("LISTEN_PID=%q is not a process ID", pid)
	}
	if p != os.Getpid() {
		return nil, nil, nil
	}
	if numbered {
		id, err := strconv.ParseUint(pidfdID, 10, 64)
		if err != nil {
			return nil, nil, listenError("LISTEN_PIDFDID=%q is not an inode number", pidfdID)
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
		return nil, nil, listenError("LISTEN_FDS=%q is not a valid count of descriptors", count)
	}
	if named {
		if names = strings.Split(joined, ":"); len(names) != n {
			return nil, nil, listenError("LISTEN_FDNAMES has %d names for %d descriptors", len(names), n)
		}
	}
	for fd := listenFDsStart; fd < listenFDsStart+n; fd++ {
		switch own, err := sys.IsCloseOnExec(fd); {
		case err != nil:
			return nil, nil, err
		case own:
			return nil, nil, listenError("LISTEN_FDS=%q counts descriptor %d, which this process opened itself: it is close-on-exec", count, fd)
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

// takeVariable removes a variable from the environment and returns its value.
func takeVariable(name string) (value string, ok bool) {
	value, ok = os.LookupEnv(name)
	_ = os.Unsetenv(name)
	return value, ok
}
