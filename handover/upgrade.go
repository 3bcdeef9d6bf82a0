package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// program returns the absolute path with which this program was started. It does not resolve symbolic links, because a
// link may point to a new version later.
func program() (string, error) {
	if len(os.Args) > 0 {
		path, err := exec.LookPath(os.Args[0])
		if err == nil || errors.Is(err, exec.ErrDot) && path != "" {
			if path, err = absolute(path, false); err == nil {
				return path, nil
			}
		}
	}
	return os.Executable()
}

// Upgrade starts a successor and waits until it is serving. The program that cmd runs must call Start with
// the same path. If cmd is nil, Upgrade starts this program again with the same arguments, environment and
// standard files. It uses the path that os.Args[0] referred to when this process called Start, looked up in
// PATH if necessary. Symbolic links are followed only when the program is started, so a link can point to a
// new version. If there was no such program, Upgrade uses the path from [os.Executable].
//
// Upgrade returns nil once a successor is serving, even if another process started it. In that case, the
// process that Upgrade started may still be running, and may take over later. Upgrade returns an error if
// the process that it started exits before it serves, or if ctx is done before that process has been allowed
// to serve. In the second case, Upgrade kills the process, and the error wraps ctx.Err(). Upgrade never kills
// a process that may be serving. After an error, this process continues. If another process tries to take
// over and fails, Upgrade continues to wait.
//
// In these cases, Upgrade returns an error and starts nothing:
//
//   - Ready has not returned nil yet, Close has been called, a successor has replaced this process, or another call to
//     Upgrade is in progress.
//   - This is process 1: the container or system ends with it.
//   - This is a child of process 1, and the program there is tini, docker-init, podman-init, dumb-init or catatonit,
//     which exit when their child does. Upgrade does not recognize other programs that do so, such as a shell. Below
//     them, it returns nil, and the container ends when this process exits.
//   - The systemd unit does not set NOTIFY_SOCKET, as with Type=simple and Type=exec, and Config.PIDFile is not set:
//     systemd stops the unit, and with it the successor, when the process that it started exits. Only systemd 248 and
//     later allow Upgrade to recognize such a unit, by SYSTEMD_EXEC_PID.
//   - cmd was created by [exec.CommandContext], which would kill the successor when its context is done. The error
//     wraps [os.ErrInvalid].
//   - A standard file of cmd is neither nil nor an [*os.File]: anything else would end with this process. The error
//     wraps [os.ErrInvalid].
//   - The system cannot pass descriptors. The error wraps [errors.ErrUnsupported].
//
// The successor inherits this process's environment, limits and sandbox. Do not call cmd.Wait, and do not use
// cmd.Process after Upgrade has returned or failed: once the process has exited, its Pid can be -1, with which
// kill(2) signals every process, or belong to another process. Config.Logger gets the PID. Under a service
// manager on Linux 5.3 and later, the successor is a child of the manager, which receives its exit status, and
// does not inherit WATCHDOG_PID.
func (p *Process) Upgrade(ctx context.Context, cmd *exec.Cmd) (err error) {
	defer prefix(&err)
	if err := p.beginUpgrade(ctx, cmd); err != nil {
		return err
	}
	s := &p.server
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(s.upgrade.over)
		s.upgrade = nil
	}()
	select {
	case <-s.isMain: // until then, the service manager ignores this process
	case <-ctx.Done():
		return ctx.Err()
	}
	p.manager.reloading()
	untilClose, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ending, func() { cancel(errClosed) })()
	err = p.upgrade(untilClose, cmd)
	switch {
	case err != nil:
		p.manager.failed(err)
	case !s.attempt.main:
		p.manager.ready() // the successor belongs to another unit
	}
	p.manager.wait(untilClose)
	return err
}

func (p *Process) upgrade(ctx context.Context, cmd *exec.Cmd) error {
	if cmd == nil {
		if p.executable == "" {
			return errors.New("cannot find the file of this program")
		}
		cmd = exec.Command(p.executable, os.Args[min(1, len(os.Args)):]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	}
	wait, err := p.manager.start(cmd)
	if err != nil {
		return fmt.Errorf("start a successor: %w", err)
	}
	p.mu.Lock()
	p.server.upgrade.pid = cmd.Process.Pid
	p.mu.Unlock()
	exited := make(chan error, 1)
	go func() { exited <- wait() }() // even after Upgrade has returned, so that no zombie remains
	return p.await(ctx, cmd, exited)
}

func (p *Process) beginUpgrade(ctx context.Context, cmd *exec.Cmd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.on(callUpgrade)
	switch {
	case err != nil:
		return err
	case p.server.control == nil:
		return errors.ErrUnsupported
	case p.server.upgrade != nil:
		return errors.New("another call to Upgrade is in progress")
	case p.manager == nil && p.config.PIDFile == "" && os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()):
		return errors.New("systemd would end the service with this process: set Type=notify in the unit, or PIDFile= there and in Config")
	case os.Getpid() == 1:
		return errors.New("process 1 cannot be replaced: its end is the end of the container")
	case os.Getppid() == 1 && endsWithChild():
		return errors.New("this process cannot be replaced: process 1 exits when its child does, which is the end of the container")
	case cmd != nil && cmd.Cancel != nil:
		return fmt.Errorf("the command was created by exec.CommandContext, which would kill the successor: %w", os.ErrInvalid)
	case cmd != nil && !(isFile(cmd.Stdin) && isFile(cmd.Stdout) && isFile(cmd.Stderr)):
		return fmt.Errorf("the standard files of the command must be nil or *os.File, because others would end with this process: %w", os.ErrInvalid)
	}
	p.server.upgrade = &upgrade{over: make(chan struct{})}
	return nil
}

// endsWithChild reports whether process 1 is known to exit when its child does.
func endsWithChild() bool {
	name, _ := os.ReadFile("/proc/1/comm")
	known := []string{"tini", "docker-init", "podman-init", "dumb-init", "catatonit"}
	return slices.Contains(known, strings.TrimSpace(string(name)))
}

// isFile reports whether the child has the file itself, not a pipe to a goroutine of this process.
func isFile(f any) bool {
	_, file := f.(*os.File)
	return file || f == nil
}

// await waits until a successor is serving, the process exits, or ctx is done.
func (p *Process) await(ctx context.Context, cmd *exec.Cmd, exited <-chan error) error {
	pid, done := cmd.Process.Pid, ctx.Done()
	for {
		select {
		case <-p.replaced:
			go func() {
				if errors.Is(<-exited, errReaped) { // then Wait has not released it
					_ = cmd.Process.Release()
				}
			}()
			return nil
		case err := <-exited:
			_ = cmd.Process.Release() // Wait does not, if it fails
			p.attemptOf(pid).wait()   // soon, because the process has died
			if p.isReplaced() {
				return nil
			}
			var exit *exec.ExitError
			if errors.As(err, &exit) && sys.IsKilled(exit.ProcessState) {
				err = fmt.Errorf("%w, as the kernel does if memory runs out", err)
			}
			return p.exitError(pid, err)
		case <-done:
			if !p.giveUp(pid) {
				done = nil
				continue
			}
			_ = cmd.Process.Kill()
			err := <-exited
			_ = cmd.Process.Release()
			byItself := p.exitError(pid, err)
			var exit *exec.ExitError
			switch {
			case context.Cause(ctx) == errClosed:
				return errClosed
			case err == nil || errors.As(err, &exit) && exit.Exited(): // before it could be killed
				return byItself
			}
			return fmt.Errorf("the successor did not serve in time: %w", ctx.Err())
		}
	}
}

// exitError returns the error for a process that has ended by itself. If Upgrade has killed it, others may serve now.
func (p *Process) exitError(pid int, err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.server.upgrade
	u.killed = 0
	if u.failed == pid {
		return fmt.Errorf("the successor exited before it served: %w (%w)", err, u.reason)
	}
	return fmt.Errorf("the successor exited before it served: %w", err)
}

// attemptOf returns the attempt of the process pid that has not ended, or nil.
func (p *Process) attemptOf(pid int) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.server.attempt; a != nil && (a.peer.pid == pid || a.peer.pid == 0 && p.state&(told|leaving) != 0) {
		return a
	}
	return nil
}

// giveUp prevents a process from being allowed to serve. If that is no longer possible, because it has been allowed to
// or because a successor is already serving, giveUp returns false.
func (p *Process) giveUp(pid int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.server.attempt; p.isReplaced() || a != nil && p.state&(told|leaving) != 0 && (a.peer.pid == pid || a.peer.pid == 0) {
		return false
	}
	p.server.upgrade.killed = pid
	return true
}
