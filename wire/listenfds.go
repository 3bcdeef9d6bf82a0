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

// ListenFDs returns the descriptors that a service manager passed to this process when it started the
// process, and their names, like sd_listen_fds_with_names in libsystemd. If LISTEN_PID is the PID of this
// process, LISTEN_FDS is the number of descriptors, the first of which is descriptor 3. LISTEN_FDNAMES
// contains their names. If that variable is not set, each name is "unknown". If nothing was passed to this
// process, ListenFDs returns no descriptors and no error.
//
// PIDs can be reused. If LISTEN_PIDFDID is set, as it is by systemd 259, and the kernel assigns each
// process an inode number (Linux 6.9), the two values must match too.
//
// ListenFDs makes the descriptors close-on-exec. The caller owns them and must close them. ListenFDs also
// removes all four variables from the environment, so that child processes do not inherit them. A second
// call therefore returns no descriptors.
//
// If a variable has an invalid value, the error is a *FormatError. The error is also a *FormatError if one
// of the LISTEN_FDS descriptors is close-on-exec, because this process, perhaps the Go runtime, opened that
// descriptor itself. If a descriptor is not open, the error wraps EBADF. On error, ListenFDs does not close
// or change any descriptor, because it does not know who owns them.
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
