//go:build linux

package identity

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// A stage is a peer of the interop suite under the recorder, which is spoken to
// line by line. It has one end of a pair of sockets as 3 and files as 4 to 6; the
// other end and more files are the stage's.
type stage struct {
	far   int            // the other end
	near  int            // a duplicate of the peer's end, for its options
	files map[string]int // the stage's own, x, y and z
	flags string         // of the peer's that sends

	process *os.Process
	in      *os.File
	out     *bufio.Reader

	calls   chan recorder.Call
	steps   [][]recorder.Call // what the peer said to the kernel, by line
	outcome []string          // what the peer answered, and what it left open
	done    chan error
	err     error // of the stage itself
}

// A play is something that is done on a stage.
type play func(*stage)

// patience is how long a play may take.
const patience = 30 * time.Second

// perform runs a command as the peer of a play, over sockets of a type.
func perform(command []string, typ int, p play) (s *stage, err error) {
	s = &stage{files: map[string]int{}, calls: make(chan recorder.Call, 1<<10), done: make(chan error, 1)}
	var pair [2]int
	if pair, err = unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	s.near, s.far = pair[0], pair[1]
	owned := []*os.File{os.NewFile(uintptr(s.near), "near"), os.NewFile(uintptr(s.far), "far")}
	defer func() {
		for _, f := range owned {
			_ = f.Close()
		}
	}()
	// Whoever waits for what does not come shall not wait for ever.
	if err := unix.SetsockoptTimeval(s.far, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{owned[0]}
	for _, name := range []string{"a", "b", "c", "x", "y", "z"} {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), name)
		owned = append(owned, f)
		if name < "x" {
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		} else {
			s.files[name] = fd
		}
	}
	if err := s.start(cmd); err != nil {
		return nil, err
	}
	s.talk("hello")
	s.talk("use sock=3 fds=4,5,6")
	s.outcome, s.steps = nil, nil
	if s.err == nil {
		p(s)
	}
	s.outcome = append(s.outcome, s.left()...)
	_ = s.in.Close()
	err = <-s.done
	var exit *recorder.ExitError
	if errors.As(err, &exit) {
		err = nil // it ended as the outcome says
	}
	return s, errors.Join(s.err, err)
}

func (s *stage) start(cmd *exec.Cmd) error {
	childIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return err
	}
	s.in, s.out = in, bufio.NewReaderSize(out, 1<<16)
	cmd.Stdin, cmd.Stdout = childIn, childOut
	started := make(chan struct{})
	o := recorder.Options{
		Handle:  func(c *recorder.Call) { s.calls <- *c },
		Started: func(p *os.Process) { s.process = p; close(started) },
	}
	go func() {
		_, err := recorder.Record(cmd, o)
		// Now who reads its answers comes to their end.
		_ = childOut.Close()
		_ = childIn.Close()
		s.done <- err
	}()
	select {
	case <-started:
		return nil
	case err := <-s.done:
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
}

// talk says a line to the peer, and returns its answer. What it says to the kernel
// for it has been recorded by then.
func (s *stage) talk(line string) string {
	answer := "it ended"
	if _, err := io.WriteString(s.in, line+"\n"); err == nil {
		if text, err := s.out.ReadString('\n'); err == nil {
			answer = strings.TrimSuffix(text, "\n")
		}
	}
	var calls []recorder.Call
	for len(s.calls) > 0 {
		calls = append(calls, <-s.calls)
	}
	s.steps = append(s.steps, calls)
	return answer
}

// say talks, and keeps the answer as it is to be compared.
func (s *stage) say(line string) {
	flags := ""
	if strings.HasPrefix(line, "send ") {
		flags = s.flags
	}
	answer := s.plain(s.talk(line + flags))
	s.outcome = append(s.outcome, line+": "+answer)
}

var answered = regexp.MustCompile(`\bfds=([0-9,]+)`)

// plain is an answer without what differs between libraries that do the same:
// numbers become files, an error of the library's own has no text, and flags are in
// the record.
func (s *stage) plain(answer string) string {
	if strings.HasPrefix(answer, "err lib ") {
		return "err lib"
	}
	var words []string
	for word := range strings.FieldsSeq(answer) {
		if !strings.HasPrefix(word, "flags=") && word != "eof" {
			words = append(words, word)
		}
	}
	return answered.ReplaceAllStringFunc(strings.Join(words, " "), func(text string) string {
		var names []string
		for number := range strings.SplitSeq(strings.TrimPrefix(text, "fds="), ",") {
			link, err := os.Readlink(filepath.Join(s.table(), number))
			if err != nil {
				names = append(names, "nothing")
				continue
			}
			names = append(names, fileName(link))
			// What is closed is not left open.
			if answer := s.talk("close fds=" + number); answer != "ok" {
				s.check(fmt.Errorf("close fds=%s: %s", number, answer))
			}
		}
		return "fds=" + strings.Join(names, ",")
	})
}

// table is the folder with the peer's descriptors.
func (s *stage) table() string { return filepath.Join("/proc", strconv.Itoa(s.process.Pid), "fd") }

// fileName is a memfd's, or the kind of another file.
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

// left is what the peer holds of the stage's files, and of pidfds, and has not reported.
func (s *stage) left() (lost []string) {
	entries, err := os.ReadDir(s.table())
	if err != nil {
		return nil // it ended
	}
	for _, e := range entries {
		link, err := os.Readlink(filepath.Join(s.table(), e.Name()))
		if err != nil {
			continue
		}
		if name := fileName(link); s.files[name] != 0 || name == "pidfd" {
			lost = append(lost, "left open: "+name)
		}
	}
	slices.Sort(lost)
	return lost
}

// do does one thing after the other.
func do(plays ...play) play {
	return func(s *stage) {
		for _, p := range plays {
			p(s)
		}
	}
}

// say has the peer do what the lines say.
func say(lines ...string) play {
	return func(s *stage) {
		for _, line := range lines {
			s.say(line)
		}
	}
}

// give sends a message to the peer.
func give(payload string, names ...string) play {
	return func(s *stage) {
		var fds []int
		for _, name := range names {
			fds = append(fds, s.files[name])
		}
		_, err := raw.Send(s.far, [][]byte{[]byte(payload)}, fds, unix.MSG_NOSIGNAL)
		s.check(err)
	}
}

// option sets one of SOL_SOCKET on the peer's socket.
func option(option int) play {
	return func(s *stage) { s.check(unix.SetsockoptInt(s.near, unix.SOL_SOCKET, option, 1)) }
}

// shut ends what can be sent to the peer.
func shut(s *stage) { s.check(unix.Shutdown(s.far, unix.SHUT_WR)) }

// limit leaves the peer so many numbers that are free.
func limit(free int) play {
	return func(s *stage) {
		n := uint64(0)
		for left := free; ; n++ {
			if _, err := os.Lstat(filepath.Join(s.table(), fmt.Sprint(n))); err == nil {
				continue
			}
			if left == 0 {
				break
			}
			left--
		}
		var was unix.Rlimit
		s.check(unix.Prlimit(s.process.Pid, unix.RLIMIT_NOFILE, nil, &was))
		s.check(unix.Prlimit(s.process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: was.Max}, nil))
	}
}

func (s *stage) check(err error) {
	if err != nil && s.err == nil {
		s.err = err
	}
}
