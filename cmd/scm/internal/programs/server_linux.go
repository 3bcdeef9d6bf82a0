package programs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A Server is a program under test, and all its descendants. Its methods may be called at the same time.
type Server struct {
	pid        int           // the first process
	root       int           // the process whose descendants are processes of the server
	supervisor *exec.Cmd     // its parent, or nil if it was running already
	stop       io.Closer     // closing it ends the server
	limit      time.Duration // how long Stop waits for processes, which scm may not be permitted to kill
	output     display.Tail
	gone       chan struct{} // closed when all processes have ended
	pidfd      int           // of a server that was running already

	mu    sync.Mutex
	ended error // how the first process to end with a failure did, or the last one without
	first error // how the first process has ended
}

// Start starts a server, which gets the address of its socket as $SOCK. If listen is set, the server gets this
// listening socket as from systemd (LISTEN_FDS). Stop ends the server.
func Start(args []string, socket string, listen *os.File) (*Server, error) {
	report, reportEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &Server{gone: make(chan struct{}), pidfd: -1, limit: 10 * time.Second}
	listens := "-"
	cmd := exec.Command("/proc/self/exe", supervisorArgument)
	cmd.ExtraFiles = []*os.File{reportEnd}
	if listen != nil {
		listens = "listen"
		cmd.ExtraFiles = append(cmd.ExtraFiles, listen)
	}
	cmd.Args = append(cmd.Args, append([]string{listens}, args...)...)
	cmd.Env = append(os.Environ(), "SOCK="+socket)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's signals are for scm alone
	cmd.WaitDelay = time.Second                           // a process that left the tree may keep the output open
	s.stop, err = cmd.StdinPipe()
	if err == nil {
		witness.Forking.Lock() // no descriptor may be being closed
		err = cmd.Start()
		witness.Forking.Unlock()
	}
	reportEnd.Close() // then the supervisor has the only one
	if err != nil {
		report.Close()
		return nil, err
	}
	s.supervisor, s.root = cmd, cmd.Process.Pid
	events := bufio.NewReader(report)
	if _, err := fmt.Fscanf(events, "started %d 0\n", &s.pid); err != nil { // the supervisor has ended
		_ = cmd.Wait()
		report.Close()
		return nil, fmt.Errorf("cannot start the server: %s", s.Output())
	}
	go func() {
		defer close(s.gone)
		var pid int
		var status uint32
		for {
			if _, err := fmt.Fscanf(events, "ended %d %d\n", &pid, &status); err != nil {
				break // all processes have ended
			}
			s.note(pid, syscall.WaitStatus(status))
		}
		report.Close()
		_ = cmd.Wait()
	}()
	return s, nil
}

// note records how a process has ended.
func (s *Server) note(pid int, status syscall.WaitStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pid == s.pid && s.first == nil {
		s.first = endOf(status)
	}
	if s.ended == nil || errors.Is(s.ended, errStatus0) {
		s.ended = endOf(status)
	}
}

// errStatus0 means that a process has ended without a failure.
var errStatus0 = errors.New("exit status 0")

func endOf(status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		return fmt.Errorf("killed by %s", unix.SignalName(status.Signal()))
	case status.ExitStatus() == 0:
		return errStatus0
	}
	return fmt.Errorf("exit status %d", status.ExitStatus())
}

// Attach returns a server that is running already. Stop does not end it.
func Attach(pid int) (*Server, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return &Server{pid: pid, root: pid, pidfd: pidfd}, nil
}

// Output returns the end of the server's output. For a server that was running already, it returns "". If the server
// has ended, Output first stops what is left of it, so that nothing is missing.
func (s *Server) Output() string {
	if s.supervisor != nil && s.Ended() != nil {
		s.Stop()
	}
	return s.output.String()
}

// Ended returns how the server has ended, or nil if it is running. A server has ended if none of its processes is left,
// or if the first one has ended with a failure. ExitedWith0 reports whether it ended without a failure.
func (s *Server) Ended() error {
	if s.supervisor == nil {
		return s.attachedEnded()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gone:
		if s.ended == nil {
			return errors.New("its processes have ended")
		}
		return s.ended
	default:
	}
	if ExitedWith0(s.first) {
		return nil
	}
	return s.first
}

// ExitedWith0 reports whether a server that has ended in this way did so without a failure.
func ExitedWith0(ended error) bool { return errors.Is(ended, errStatus0) }

func (s *Server) attachedEnded() error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}, 0)
		switch {
		case err == unix.EINTR:
		case n > 0:
			return fmt.Errorf("process %d has ended", s.pid)
		default:
			return nil
		}
	}
}

// Processes returns the pids of the server's processes that are running.
func (s *Server) Processes() ([]int, error) {
	if s.supervisor == nil && s.attachedEnded() != nil {
		return nil, nil
	}
	pids := []int{s.root}
	for i := 0; i < len(pids); i++ {
		children, err := procfs.Children(pids[i])
		if err = inspectError(pids[i], err); err != nil {
			return nil, err
		}
		// scm is no process of a server that is its parent, and has the markers open itself.
		pids = append(pids, slices.DeleteFunc(children, func(pid int) bool { return pid == os.Getpid() })...)
	}
	if s.supervisor != nil {
		pids = pids[1:]
	}
	return pids, nil
}

// Idle reports whether all threads of the server are asleep, so that it is not about to end.
func (s *Server) Idle() bool {
	pids, err := s.Processes()
	for _, pid := range pids {
		asleep, err := witness.Sleeps(pid)
		if err == nil && !asleep || err != nil && pid == s.pid {
			return false
		}
	}
	return err == nil && len(pids) > 0
}

// Stop ends all processes of a server that Start has started.
func (s *Server) Stop() {
	if s.supervisor == nil {
		witness.CloseFD(&s.pidfd)
		return
	}
	s.stop.Close()
	select {
	case <-s.gone:
	case <-time.After(s.limit):
	}
}

// ProgramOf returns the base name of what a process executes, or of its command if the kernel does not say.
func ProgramOf(pid int) string {
	_, name := filepath.Split(executable(pid))
	return name
}

// executable returns the path of what a process executes, or its command if the kernel does not say.
func executable(pid int) string {
	if name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
		return strings.TrimSuffix(name, " (deleted)")
	}
	status, _ := procfs.ReadStatus(pid)
	return status.Field("Name")
}
