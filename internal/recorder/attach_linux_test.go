package recorder

import (
	"bufio"
	"context"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

// steps is a child that passes a descriptor for each line that it reads.
type steps struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

func startSteps(t *testing.T, name string) *steps {
	t.Helper()
	needsPtrace(t)
	s := &steps{t: t, cmd: childCommand(name)}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	fdtest.Must(t, err)
	s.lines = bufio.NewReader(out)
	fdtest.Must(t, s.cmd.Start())
	s.expect("ready")
	return s
}

func (s *steps) expect(want string) {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if strings.TrimSuffix(line, "\n") != want {
		s.t.Fatalf("the child printed %q, %v; want %q", line, err, want)
	}
}

func (s *steps) pass(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, text+"\n"); err != nil {
		s.t.Fatal(err)
	}
	s.expect("done " + text)
}

func (s *steps) end() {
	s.t.Helper()
	if err := s.in.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.expect("end")
	if err := s.cmd.Wait(); err != nil {
		s.t.Error(err)
	}
}

// tracers returns the tracers of the threads of a process and of its descendants; "0" if a thread has none.
func tracers(t *testing.T, pid int) (list []string) {
	t.Helper()
	tids, err := procfs.Tasks(pid)
	fdtest.Must(t, err)
	for _, tid := range tids {
		if s := status(tid); s != "" {
			list = append(list, s.Field("TracerPid"))
		}
	}
	children, err := procfs.Children(pid)
	fdtest.Must(t, err)
	for _, child := range children {
		list = append(list, tracers(t, child)...)
	}
	return list
}

// A trace that ends before the process reports what the process has received and not closed, and that it runs on.
func TestAttach(t *testing.T) {
	for _, name := range []string{"steps", "parent", "leaderless", "apart", "unshare"} {
		t.Run(name, func(t *testing.T) {
			s := startSteps(t, strings.Replace(name, "unshare", "steps", 1))
			s.pass("before")

			// Attach has no means to report that it is attached, so the test passes descriptors
			// until it sees the first call.
			ctx, letGo := context.WithCancel(context.Background())
			defer letGo()
			seen := make(chan string, 100)
			ended := make(chan error, 1)
			received, tables, open := 0, 1, map[int]int{} // how often each received descriptor is reported
			go func() {
				_, err := Attach(ctx, s.cmd.Process.Pid, Options{
					Handle: func(c *Call) {
						received += len(c.ReceivedFDs())
						seen <- c.Text()
					},
					StillOpen: func(o *StillOpen) {
						open[o.Receipt.seq]++
						if text := o.Text(); !strings.HasPrefix(text, "running: open ") || !o.Running {
							t.Errorf("reported: %s", text)
						}
					},
				})
				ended <- err
			}()
			var first string
			for n := 0; first == ""; n++ {
				s.pass("try" + strconv.Itoa(n))
				select {
				case first = <-seen:
				case err := <-ended:
					t.Fatalf("Attach ended with %v before the first call, after %d messages", err, n+1)
				default:
				}
			}
			s.pass("during")
			if name == "unshare" {
				s.pass(name)
				tables = 2
			}
			letGo()
			fdtest.Must(t, <-ended)
			wrong := func(times int) bool { return times != tables }
			if len(open) != received || slices.ContainsFunc(slices.Collect(maps.Values(open)), wrong) {
				t.Errorf("%d descriptors were received, and are in %d tables; reported are %v", received, tables, open)
			}
			for _, tracer := range tracers(t, s.cmd.Process.Pid) {
				if tracer != "0" {
					t.Errorf("a thread is still traced by %s", tracer)
				}
			}
			s.pass("after")
			s.end()

			close(seen)
			var all string
			for line := range seen {
				all += line + "\n"
			}
			if !strings.Contains(all, `"during`) || strings.Contains(first+all, "before") || strings.Contains(all, "after") {
				t.Errorf("recorded %s\n%s", first, all)
			}
		})
	}
}

// A thread that calls execve in a process without a first thread gets the ID of the first thread. When the
// process has ended, the recorder waits for no other thread.
func TestAttachExec(t *testing.T) {
	s := startSteps(t, "leaderless")
	ended := make(chan error, 1)
	seen := make(chan *Call, 100)
	go func() {
		_, err := Attach(context.Background(), s.cmd.Process.Pid, Options{Handle: func(c *Call) { seen <- c }})
		ended <- err
		close(seen)
	}()
	for n := 0; len(seen) == 0; n++ {
		s.pass("try" + strconv.Itoa(n))
	}
	if _, err := io.WriteString(s.in, "exec\n"); err != nil {
		t.Fatal(err)
	}
	s.expect("ready")
	s.pass("again")
	fdtest.Must(t, s.in.Close())
	fdtest.Must(t, <-ended)
	pid := s.cmd.Process.Pid
	_ = s.cmd.Wait() // the recorder has waited for the process
	_ = s.cmd.Process.Release()
	var calls []*Call
	for c := range seen {
		calls = append(calls, c)
	}
	first, last := calls[0], calls[len(calls)-1]
	if first.Thread == pid || first.Process != last.Process || !strings.Contains(last.Text(), "again") {
		t.Errorf("of process %d: first %v, last %v", pid, first, last)
	}
}

// A container is not the reason if this process has the capability to trace.
func TestForbiddenInAContainer(t *testing.T) {
	if !capable(unix.CAP_SYS_PTRACE) {
		t.Skip("needs CAP_SYS_PTRACE")
	}
	t.Setenv("container", "lxc")
	s := startSteps(t, "steps")
	if text := why(s.cmd.Process.Pid, unix.EPERM); strings.Contains(text, "container") {
		t.Error(text)
	}
	s.end()
}
