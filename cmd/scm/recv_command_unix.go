//go:build unix

package main

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// firstFD is the number of the first descriptor that is passed on, as systemd has it.
const firstFD = 3

// The variables by which a program learns what was passed to it.
const (
	listenFDs     = "LISTEN_FDS"
	listenFDNames = "LISTEN_FDNAMES"
	listenPID     = "LISTEN_PID"
	listenPIDFDID = "LISTEN_PIDFDID"
)

// run puts the command, whose file is program, in scm's place, with the descriptors as 3 and up.
//
// Among those numbers are the runtime's own, on which it waits at any time. So a thread
// with a table of its own does it. Without one, scm takes its own place first, as
// moveCommand: its runtime has opened nothing among these numbers, or it gives up.
func (r *receiving) run(program string, command []string, format wire.Format, payload []byte, fds []int) error {
	if len(fds) == 0 {
		return &exitError{exitFail, errNoDescriptor}
	}
	var numbers, names []string
	for _, fd := range fds {
		f, err := describe(fd)
		if err != nil {
			return &exitError{exitFail, err}
		}
		numbers = append(numbers, strconv.Itoa(fd))
		name := path.Base(f.Name)
		if format == wire.Runc || format == wire.Conmon {
			name = string(payload)
		} else if f.Name == "" || strings.Contains(f.Name, ":[") { // of a pipe or socket: a number
			name = f.Kind
		}
		names = append(names, plain(name))
	}
	if ownTable() {
		return &exitError{exitFail, become(program, command, fds, strings.Join(names, ":"))}
	}
	self, err := os.Executable()
	if err != nil {
		return broken(err)
	}
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return &exitError{exitFail, fmt.Errorf("fcntl: %w", err)}
		}
	}
	args := append([]string{os.Args[0], moveName, strings.Join(numbers, ","), strings.Join(names, ":"), program}, command...)
	return &exitError{exitFail, fmt.Errorf("%s: %w", self, unix.Exec(self, args, os.Environ()))}
}

// unfit is what systemd would not take in a name.
var unfit = regexp.MustCompile(`[^ !-9;-~]`)

// longestName is how long systemd lets a name be.
const longestName = 255

func plain(name string) string {
	name = unfit.ReplaceAllString(name, "_")
	return name[:min(len(name), longestName)]
}

// moveName is the command that run makes of scm.
const moveName = "recv-move"

// moveCommand is recv's, and nobody else's: NUMBERS NAMES PROGRAM COMMAND ARG…
func moveCommand() *cobra.Command {
	return &cobra.Command{
		Use:                moveName,
		Hidden:             true,
		Args:               cobra.MinimumNArgs(4),
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			var fds []int
			for _, text := range strings.Split(args[0], ",") {
				fd, err := strconv.Atoi(text)
				if err != nil {
					return err
				}
				fds = append(fds, fd)
			}
			if err := claim(fds); err != nil {
				return &exitError{exitFail, err}
			}
			return &exitError{exitFail, become(args[2], args[3:], fds, args[1])}
		},
	}
}

// claim sees to it that none of the numbers that the descriptors are to have is, or
// becomes, the runtime's.
func claim(fds []int) error {
	own, end := slices.Clone(fds), firstFD+len(fds)
	for n := 0; n < end; own = append(own, n) {
		var err error
		if n, err = duplicateFrom(fds[0], firstFD); err != nil {
			return err
		}
	}
	for n := firstFD; n < end; n++ {
		if !slices.Contains(own, n) {
			return fmt.Errorf("descriptor %d is the runtime's own: is standard input, output or error non-blocking, or GODEBUG=containermaxprocs=1 set?", n)
		}
	}
	return nil
}

// duplicateFrom duplicates fd to the first free number from least on, close-on-exec. AIX
// has no F_DUPFD_CLOEXEC.
func duplicateFrom(fd, least int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, least)
	if err != nil {
		return -1, fmt.Errorf("fcntl: %w", err)
	}
	unix.CloseOnExec(n)
	return n, nil
}

// become moves the descriptors to the numbers from firstFD on and executes the program.
// By way of numbers above those none is lost that another one takes. The others are
// close-on-exec.
func become(program string, command []string, fds []int, names string) error {
	for name, value := range map[string]string{listenFDs: strconv.Itoa(len(fds)), listenFDNames: names, listenPID: strconv.Itoa(os.Getpid())} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if err := os.Unsetenv(listenPIDFDID); err != nil { // of the process that somebody else passed files to
		return err
	}
	env := os.Environ()
	var high []int
	for _, fd := range fds {
		n, err := duplicateFrom(fd, firstFD+len(fds))
		if err != nil {
			return err
		}
		unix.CloseOnExec(fd)
		high = append(high, n)
	}
	// No collection, which would let the scheduler in, until this thread is another program.
	debug.SetGCPercent(-1)
	for i, fd := range high {
		if err := duplicate(fd, firstFD+i); err != nil {
			return fmt.Errorf("dup: %w", err)
		}
	}
	return fmt.Errorf("%s: %w", program, unix.Exec(program, command, env))
}
