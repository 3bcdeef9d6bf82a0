//go:build linux

package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
	"golang.org/x/sys/unix"
)

// A stage runs one peer of the interop suite under the recorder. The peer has one end of a
// pair of sockets as descriptor 3, and the files a, b and c as descriptors 4 to 6. The
// stage keeps the other end, and the files x, y and z that it can send to the peer.
type stage struct {
	peer      *process.Process
	near      int            // the stage's duplicate of the peer's end, for setsockopt
	far       int            // the other end
	files     map[string]int // x, y and z
	owned     []int          // all descriptors of the stage
	sendFlags string         // appended to every send command

	recording callLog
	calls     [][]recorder.Call // the system calls that the peer made, by command
	outcome   []string          // the peer's answers, and the descriptors that it left open
}

// An action is performed by the stage, or by the peer when the stage sends it a command.
type action func(*stage)

// timeout limits the time that a peer may take for one answer.
const timeout = 30 * time.Second

// perform starts the command as a peer on sockets of the given type, performs the actions, and
// ends the peer. It returns the stage with everything that it recorded.
func perform(command []string, sendFlags string, socketType int, actions []action) *stage {
	s := &stage{files: map[string]int{}, sendFlags: sendFlags}
	defer s.close()
	pool := s.open(socketType)
	name := strings.Join(command, " ")
	var err error
	s.peer, err = process.Start(scenario.Program(filepath.Base(command[0]), command...), pool,
		scenario.User{}, &process.Recording{With: s.recording.record})
	if err != nil {
		must.Failf("%s: %w", name, err)
	}
	failed := must.Try(func() {
		for _, line := range []string{"hello", "use sock=3 fds=4,5,6"} {
			if answer := s.ask(line); !strings.HasPrefix(answer, "ok") {
				must.Failf("answered %q to %q", answer, line)
			}
		}
		s.calls = nil
		inOrder(actions...)(s)
	})
	s.outcome = append(s.outcome, s.leftOpen()...)
	err = s.peer.Close()
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		err = nil // its exit is part of the outcome
	}
	if err := errors.Join(failed, err); err != nil {
		must.Failf("%s: %w", name, err)
	}
	return s
}

// close closes the stage's own descriptors.
func (s *stage) close() {
	for _, fd := range s.owned {
		_ = unix.Close(fd)
	}
}

// open makes the sockets and the files. It returns the descriptors to duplicate into the peer.
func (s *stage) open(socketType int) (pool []int) {
	pair := must.Get(unix.Socketpair(unix.AF_UNIX, socketType|unix.SOCK_CLOEXEC, 0))
	s.owned = pair[:]
	s.near, s.far = pair[0], pair[1]
	pool = append(pool, s.near)
	// A peer that stops receiving must not block the stage forever.
	must.OK(unix.SetsockoptTimeval(s.far, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10}))
	for _, name := range []string{"a", "b", "c", "x", "y", "z"} {
		fd := must.Get(unix.MemfdCreate(name, unix.MFD_CLOEXEC))
		s.owned = append(s.owned, fd)
		if name < "x" {
			pool = append(pool, fd)
		} else {
			s.files[name] = fd
		}
	}
	return pool
}

// A callLog is a [process.Launcher] that keeps the recorded calls themselves, not their text.
type callLog struct {
	mu    sync.Mutex
	calls []recorder.Call
}

func (l *callLog) record(cmd *exec.Cmd, started func(), _ func(lines []string)) error {
	_, err := recorder.Record(cmd, recorder.Options{
		Started: func(*os.Process) { started() },
		Handle: func(c *recorder.Call) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.calls = append(l.calls, *c)
		},
	})
	return err
}

// take returns the calls recorded since it was last called.
func (l *callLog) take() []recorder.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

// ended is the answer of a peer that has ended.
const ended = "the peer ended"

// ask sends a command to the peer and returns its answer. The recorder stops the peer at each
// system call until it has added the call to the log. When the peer answers, the log therefore
// contains all calls that the command caused.
func (s *stage) ask(line string) string {
	answer, err := s.peer.Ask(context.Background(), line, timeout)
	if err != nil {
		answer = ended
		select {
		case <-s.peer.Gone:
		case <-time.After(process.Grace):
			must.Failf("%s: %w", line, err)
		}
	}
	s.calls = append(s.calls, s.recording.take())
	return answer
}

// run sends a command to the peer, and keeps the answer for the comparison.
func (s *stage) run(line string) {
	flags := ""
	if strings.HasPrefix(line, "send ") {
		flags = s.sendFlags
	}
	answer := s.normalize(s.ask(line + flags))
	s.outcome = append(s.outcome, line+": "+answer)
}

var answeredFDs = regexp.MustCompile(`\bfds=([0-9,]+)`)

// normalize returns an answer without the parts that may differ between libraries with the same
// behavior. It replaces descriptors with the names of their files. It removes the message
// of an error that the library itself defines. It also removes the flags, because the recorded
// calls contain them. normalize makes the peer close all descriptors in the answer, so that
// leftOpen does not find them.
func (s *stage) normalize(answer string) string {
	if strings.HasPrefix(answer, "err lib ") {
		return "err lib"
	}
	var words []string
	for word := range strings.FieldsSeq(answer) {
		if !strings.HasPrefix(word, "flags=") && word != "eof" {
			words = append(words, word)
		}
	}
	return answeredFDs.ReplaceAllStringFunc(strings.Join(words, " "), func(text string) string {
		var names []string
		for word := range strings.SplitSeq(strings.TrimPrefix(text, "fds="), ",") {
			fd := must.Get(strconv.Atoi(word))
			link, err := procfs.ReadLink(s.peer.Pid, fd)
			if err != nil {
				names = append(names, "nothing")
				continue
			}
			names = append(names, fileName(link))
			if answer := s.ask("close fds=" + word); answer != "ok" {
				must.Failf("close fds=%s: %s", word, answer)
			}
		}
		return "fds=" + strings.Join(names, ",")
	})
}

// fileName returns the name of a memfd, or the kind of any other file.
func fileName(link string) string {
	if name, ok := strings.CutPrefix(link, "/memfd:"); ok {
		return strings.TrimSuffix(name, " (deleted)")
	}
	if strings.Contains(link, "pidfd") {
		return "pidfd"
	}
	kind, _, _ := strings.Cut(link, ":")
	return kind
}

// leftOpen lists the pidfds, and the stage's own files, that the peer received and neither
// reported nor closed.
func (s *stage) leftOpen() (list []string) {
	open, _ := procfs.OpenFDs(s.peer.Pid) // none if the peer has ended
	for _, fd := range open {
		link, err := procfs.ReadLink(s.peer.Pid, fd)
		if err != nil {
			continue // closed since the folder was read
		}
		if name := fileName(link); s.files[name] != 0 || name == "pidfd" {
			list = append(list, "left open: "+name)
		}
	}
	slices.Sort(list)
	return list
}

// inOrder performs actions one after the other.
func inOrder(actions ...action) action {
	return func(s *stage) {
		for _, act := range actions {
			act(s)
		}
	}
}

// commands sends commands to the peer.
func commands(lines ...string) action {
	return func(s *stage) {
		for _, line := range lines {
			s.run(line)
		}
	}
}

// message sends a message to the peer's socket, with the stage's files of these names.
func message(payload string, names ...string) action {
	return func(s *stage) {
		var fds []int
		for _, name := range names {
			fds = append(fds, s.files[name])
		}
		must.Get(raw.Send(s.far, [][]byte{[]byte(payload)}, fds, unix.MSG_NOSIGNAL))
	}
}

// receive receives what the peer has sent, and adds it to the outcome.
func receive(s *stage) {
	payload := make([]byte, 16)
	n, _, err := unix.Recvfrom(s.far, payload, unix.MSG_DONTWAIT)
	s.outcome = append(s.outcome, fmt.Sprintf("received: %d, %q, %v", n, payload, err))
}

// enable sets an option of level SOL_SOCKET on the peer's socket.
func enable(option int) action {
	return func(s *stage) { must.OK(unix.SetsockoptInt(s.near, unix.SOL_SOCKET, option, 1)) }
}

// endOfStream shuts down the sending direction of the stage's socket.
func endOfStream(s *stage) { must.OK(unix.Shutdown(s.far, unix.SHUT_WR)) }

// freeFDs lowers the peer's limit of open files so that it can open n more descriptors.
func freeFDs(n int) action {
	return func(s *stage) {
		open := must.Get(procfs.OpenFDs(s.peer.Pid))
		var old unix.Rlimit
		must.OK(unix.Prlimit(s.peer.Pid, unix.RLIMIT_NOFILE, nil, &old))
		must.OK(unix.Prlimit(s.peer.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: procfs.LimitFor(open, n), Max: old.Max}, nil))
	}
}
