//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
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
)

// run puts the command in scm's place, with the descriptors as 3 and up.
//
// Among those numbers are the runtime's own, which it would not do without in the
// time left. So scm takes its own place first: moveCommand runs before the runtime
// has waited for anything.
func (r *receiving) run(command []string, format wire.Format, payload []byte, fds []int) error {
	if len(fds) == 0 {
		return &exitError{exitFail, errors.New("the message came without a descriptor")}
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return &exitError{exitFail, err}
	}
	self, err := os.Executable()
	if err != nil {
		return broken(err)
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
			if err := move(fds); err != nil {
				return &exitError{exitFail, err}
			}
			for name, value := range map[string]string{listenFDs: strconv.Itoa(len(fds)), listenFDNames: args[1], listenPID: strconv.Itoa(os.Getpid())} {
				if err := os.Setenv(name, value); err != nil {
					return &exitError{exitFail, err}
				}
			}
			return &exitError{exitFail, fmt.Errorf("%s: %w", args[2], unix.Exec(args[2], args[3:], os.Environ()))}
		},
	}
}

// move gives the descriptors the numbers from firstFD on, without close-on-exec. By
// way of numbers above those none is lost that another one takes.
func move(fds []int) error {
	var high []int
	for _, fd := range fds {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, firstFD+len(fds))
		if err != nil {
			return fmt.Errorf("fcntl: %w", err)
		}
		high = append(high, n)
	}
	closeAll(fds)
	for i, fd := range high {
		if err := unix.Dup2(fd, firstFD+i); err != nil {
			return fmt.Errorf("dup2: %w", err)
		}
	}
	closeAll(high)
	return nil
}
