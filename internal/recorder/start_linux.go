package recorder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts the command, traced from its first instruction on. The calling
// goroutine is locked to its thread.
//
// The command is started with PTRACE_TRACEME, because that is what the
// standard library has; but only PTRACE_SEIZE distinguishes a stopped process from a
// signal. So it is let go into a stop, before its first instruction, and
// seized there. In between PDEATHSIG ends it if the tracer ends, and after
// that PTRACE_O_EXITKILL.
func (t *tracer) start(cmd *exec.Cmd) error {
	ownDeathSignal, err := startStopped(cmd)
	if err != nil {
		return err
	}
	pid := cmd.Process.Pid
	t.leader = pid
	err = t.takeOver(cmd, ownDeathSignal)
	var ended *endedError
	if errors.As(err, &ended) {
		t.status = ended.status
		return nil
	}
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL) // it is ours, and not reaped
		for {
			if _, status, err := waitStop(pid); err != nil || !status.Stopped() {
				break
			}
		}
		_ = cmd.Wait()
	}
	return err
}

func startStopped(cmd *exec.Cmd) (ownDeathSignal bool, err error) {
	var attr syscall.SysProcAttr
	was := cmd.SysProcAttr
	if was != nil {
		attr = *was
	}
	attr.Ptrace = true
	if ownDeathSignal = attr.Pdeathsig != 0; !ownDeathSignal {
		attr.Pdeathsig = syscall.SIGKILL
	}
	cmd.SysProcAttr = &attr
	err = cmd.Start()
	cmd.SysProcAttr = was
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		// Either the exec was refused or the PTRACE_TRACEME before it.
		if why := forbiddenToStart(); why != nil {
			err = why
		}
	}
	return ownDeathSignal, err
}

func (t *tracer) takeOver(cmd *exec.Cmd, ownDeathSignal bool) error {
	pid := cmd.Process.Pid
	// The SIGTRAP after its exec.
	if err := awaitStop(pid, unix.WALL); err != nil {
		return err
	}
	if err := resume(unix.PTRACE_DETACH, pid, unix.SIGSTOP); err != nil {
		return fmt.Errorf("ptrace(PTRACE_DETACH): %w", err)
	}
	if err := awaitStop(pid, unix.WUNTRACED); err != nil {
		return err
	}
	if err := seize(pid, options|unix.PTRACE_O_EXITKILL); err != nil {
		return forbiddenToSeize(pid, err)
	}
	if err := awaitStop(pid, unix.WALL); err != nil {
		return err
	}

	// Whoever sends it a signal meanwhile: it comes when the program runs.
	mask, err := blocked(pid)
	if err != nil {
		return fmt.Errorf("ptrace(PTRACE_GETSIGMASK): %w", err)
	}
	if err := block(pid, allSignals.without(unix.SIGCONT)); err != nil {
		return fmt.Errorf("ptrace(PTRACE_SETSIGMASK): %w", err)
	}
	if err := swallowContinue(pid); err != nil {
		return err
	}
	in, err := newInjector(pid)
	if err != nil {
		return err
	}
	if err := t.prepare(in, ownDeathSignal); err != nil {
		return err
	}
	if err := block(pid, mask); err != nil {
		return fmt.Errorf("ptrace(PTRACE_SETSIGMASK): %w", err)
	}
	if t.o.Started != nil {
		t.o.Started(cmd.Process)
	}
	th := t.add(pid, t.root(pid))
	if !t.o.Sections && hasUring(pid) {
		t.tellEscape(th.process, Uring)
	}
	return t.resume(th, 0)
}

// prepare takes back the death signal, and puts in the filter.
func (t *tracer) prepare(in *injector, ownDeathSignal bool) error {
	if !ownDeathSignal {
		if errno, err := in.call("prctl", unix.PR_SET_PDEATHSIG, 0); err != nil {
			return err
		} else if errno != 0 {
			return os.NewSyscallError("prctl", errno)
		}
	}
	if t.mode == toSyscall {
		return nil
	}
	ok, err := in.install(filter(t.o.Sections))
	if err != nil || !ok {
		t.mode = toSyscall
		return err
	}
	if err := unix.PtraceSetOptions(in.tid, options|unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESECCOMP); err != nil {
		return fmt.Errorf("ptrace(PTRACE_SETOPTIONS): %w", err)
	}
	return nil
}

// awaitStop waits until the process stands.
func awaitStop(pid, how int) error {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, how, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case !status.Stopped():
			return &endedError{status}
		}
		return nil
	}
}

// swallowContinue ends the stop of the process, without the program seeing the
// SIGCONT that it takes.
func swallowContinue(pid int) error {
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		return os.NewSyscallError("kill", err)
	}
	for {
		if err := resume(unix.PTRACE_CONT, pid, 0); err != nil {
			return fmt.Errorf("ptrace(PTRACE_CONT): %w", err)
		}
		_, status, err := waitStop(pid)
		switch {
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case !status.Stopped():
			return &endedError{status}
		case event(status) == 0 && status.StopSignal() == unix.SIGCONT:
			return nil
		}
	}
}
