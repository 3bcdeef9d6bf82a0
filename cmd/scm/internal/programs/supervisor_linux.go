package programs

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// The words that make a program that calls Main the supervisor of a server, or make it execute a server to which
// systemd would pass a socket.
const (
	supervisorArgument = "scm-programs-supervisor"
	activateArgument   = "scm-programs-activate"
)

// The descriptors of a supervisor, besides its standard input: when that ends, the supervisor ends the server.
const (
	reportFD = 3 // the supervisor writes lines to it
	listenFD = 4 // the listening socket for the server, if any
)

// killAfter is how long a process has to end after SIGTERM.
const killAfter = 2 * time.Second

// Main handles the command lines with which Start executes its own binary. For these, it does not return. A program
// that calls Start must call Main first, and so must TestMain in tests that do.
//
// A server runs below a supervisor, because daemons fork and let their parent end. The kernel gives such orphans to the
// supervisor. So the server and its processes are the descendants of the supervisor, which learns how they end, and can
// end all of them.
func Main() {
	if len(os.Args) < 4 {
		return
	}
	switch os.Args[1] {
	case supervisorArgument:
		if err := supervise(os.Args[2] == "listen", os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case activateArgument:
		fmt.Fprintln(os.Stderr, activate(os.Args[3:]))
		os.Exit(127)
	}
}

// activate executes a command as systemd does with a socket unit. It returns only if that fails.
func activate(command []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	environ := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()), "LISTEN_FDS=1", "LISTEN_FDNAMES=scm.socket")
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, command, environ))
}

// A supervisor is the parent of a server.
type supervisor struct {
	mu    sync.Mutex    // held while a child is reaped or killed, so that its pid still belongs to it
	ended chan struct{} // closed when there are no more children
}

// supervise runs a command, and reaps its processes until all have ended.
func supervise(listen bool, command []string) error {
	unix.CloseOnExec(reportFD)
	s := &supervisor{ended: make(chan struct{})}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	files := []uintptr{null.Fd(), 1, 2}
	if listen {
		unix.CloseOnExec(listenFD)
		files = append(files, listenFD) // becomes 3
		program, command = "/proc/self/exe", append([]string{program, activateArgument, "-"}, command...)
	}
	// The server has a process group of its own. A shell that ends its group must not end the supervisor.
	pid, err := syscall.ForkExec(program, command, &syscall.ProcAttr{
		Env: os.Environ(), Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	say("started", pid, 0)
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // returns at the end of the process that started the supervisor, too
		s.end()
	}()
	for s.reap() {
	}
	close(s.ended)
	return nil
}

// say writes a line to the process that started the supervisor. If that process has ended, standard input is at its
// end.
func say(event string, pid int, status unix.WaitStatus) {
	_, _ = unix.Write(reportFD, fmt.Appendf(nil, "%s %d %d\n", event, pid, uint32(status)))
}

// reap waits for a child to end, and reports how it did. It returns false if there are no children.
func (s *supervisor) reap() bool {
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return err == unix.EINTR
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var status unix.WaitStatus
	if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); err == nil && pid > 0 {
		say("ended", pid, status)
	}
	return true
}

// end ends all children, with SIGTERM and later with SIGKILL. The children of one that has ended become those of the
// supervisor. It signals no other process, because only the pid of a child cannot be reused in the meantime.
func (s *supervisor) end() {
	var signaled []int
	for deadline := time.Now().Add(killAfter); ; {
		s.mu.Lock()
		children, err := procfs.Children(procfs.Self)
		for _, pid := range children {
			switch {
			case time.Now().After(deadline):
				_ = unix.Kill(pid, unix.SIGKILL)
			case !slices.Contains(signaled, pid):
				signaled = append(signaled, pid)
				_ = unix.Kill(pid, unix.SIGTERM)
				_ = unix.Kill(pid, unix.SIGCONT)
			}
		}
		s.mu.Unlock()
		select {
		case <-s.ended:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if err != nil {
			return
		}
	}
}
