//go:build unix && !linux

package socketcmd

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
)

// runWith runs a program with the received files as descriptors 3 and up, and with this environment. It
// starts a shell, which sets LISTEN_PID to its own process ID and then replaces itself with the program. It
// does not replace scm, because that could abort scm: on these systems, a thread cannot have its own descriptor table
// (see recv_linux.go).
func runWith(fds []int, env []string, _ string, args []string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ && export LISTEN_PID && exec "$@"`, "sh"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = env
	for _, fd := range fds {
		f, err := scm.NewFile(fd, "received")
		if err != nil {
			return cli.Exit(cli.ExitFail, err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	ignored, forwarded := make(chan os.Signal, 1), make(chan os.Signal, 8)
	cli.Notify(ignored, syscall.SIGINT, syscall.SIGQUIT) // the terminal also sends them to the command
	cli.Notify(forwarded, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(ignored)
	defer signal.Stop(forwarded)
	err := cmd.Start()
	for _, f := range cmd.ExtraFiles {
		_ = f.Close() // the command has a copy
	}
	if err != nil {
		return cli.Exit(cli.ExitFail, err)
	}
	go func() {
		for s := range forwarded {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return cli.Exit(cli.ExitFail, err)
	}
	if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
		return cli.Exit(cli.ExitSignal+int(s.Signal()), nil)
	}
	return cli.Exit(exit.ExitCode(), nil)
}
