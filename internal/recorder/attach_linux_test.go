package recorder

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// canceled is a context that is done.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// steps is a child that passes a descriptor for each line.
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
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.expect("ready")
	return s
}

func (s *steps) expect(want string) {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if strings.TrimSuffix(line, "\n") != want {
		s.t.Fatalf("the child said %q, %v; want %q", line, err, want)
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

// tracers are those of the process, its threads and its children.
func tracers(t *testing.T, pid int) (list []string) {
	t.Helper()
	tids, err := numbers(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		if s := status(strconv.Itoa(tid)); len(s) > 0 {
			list = append(list, s["TracerPid"])
		}
	}
	children, err := childrenOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range children {
		list = append(list, tracers(t, child)...)
	}
	return list
}

func TestAttach(t *testing.T) {
	for _, name := range []string{"steps", "parent", "leaderless"} {
		t.Run(name, func(t *testing.T) {
			s := startSteps(t, name)
			s.pass("before")

			// Attached is when all of its threads are; its calls are seen once
			// they have stopped, for which the first of them is waited.
			ctx, letGo := context.WithCancel(context.Background())
			defer letGo()
			seen := make(chan string, 100)
			ended := make(chan error, 1)
			go func() {
				_, err := Attach(ctx, s.cmd.Process.Pid, Options{Handle: func(c *Call) { seen <- c.Text() }})
				ended <- err
			}()
			var first string
			for n := 0; first == ""; n++ {
				s.pass("try" + strconv.Itoa(n))
				select {
				case first = <-seen:
				case err := <-ended:
					t.Fatal(err)
				default:
				}
			}
			s.pass("during")
			letGo()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			for _, tracer := range tracers(t, s.cmd.Process.Pid) {
				if tracer != "0" {
					t.Errorf("it is still traced by %s", tracer)
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

// A process that traces a child of its own is recorded without that child, which
// its own tracer keeps; it may also begin to trace one.
func TestAttachTracer(t *testing.T) {
	for _, name := range []string{"tracer", "later"} {
		t.Run(name, func(t *testing.T) {
			s := startSteps(t, name)
			s.pass("before")
			ctx, letGo := context.WithCancel(context.Background())
			defer letGo()
			seen := make(chan *Call, 1000)
			left := make(chan error, 10)
			ended := make(chan error, 1)
			go func() {
				_, err := Attach(ctx, s.cmd.Process.Pid, Options{
					Handle:  func(c *Call) { seen <- c },
					LeftOut: func(_ int, err error) { left <- err },
				})
				ended <- err
			}()
			for n := 0; len(seen) == 0; n++ {
				select {
				case err := <-ended:
					t.Fatal(err)
				default:
				}
				s.pass("try" + strconv.Itoa(n))
			}
			if name == "later" {
				s.pass("trace")
			}
			s.pass("during")
			letGo()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			s.pass("after")
			s.end()
			close(seen)
			during := 0
			for c := range seen {
				if strings.Contains(c.Text(), "during") {
					during++
				}
				if c.Process.PID != s.cmd.Process.Pid {
					t.Errorf("another process was recorded: %v", c)
				}
			}
			if during != 2 {
				t.Errorf("%d calls of the line were recorded, want 2", during)
			}
			var forbidden *ForbiddenError
			if err := <-left; !errors.As(err, &forbidden) || len(left) > 0 {
				t.Errorf("left out: %v, and %d more", err, len(left))
			}
		})
	}
}

// The thread that execs in a process without a first thread takes its number,
// and nothing of it is left when the process has ended.
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
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // the recorder was told the end
	var calls []*Call
	for c := range seen {
		calls = append(calls, c)
	}
	first, last := calls[0], calls[len(calls)-1]
	pid := s.cmd.Process.Pid
	if first.Thread == pid || first.Process != last.Process || !strings.Contains(last.Text(), "again") {
		t.Errorf("of process %d: first %v, last %v", pid, first, last)
	}
}

// A thread that execs waits until the end of each traced one was waited for, and to attach
// to one more thread the recorder waits for the exec. Neither keeps the other waiting,
// whichever threads are traced by then, and the process is recorded on.
func TestAttachDuringExec(t *testing.T) {
	const leader, execer, other = "the first thread", "the one that execs", "another"
	for _, traced := range [][]string{{other}, {leader, other}, {execer, other}, {leader}, {execer}} {
		t.Run(strings.Join(traced, ", "), func(t *testing.T) {
			s := startSteps(t, "execer")
			pid := s.cmd.Process.Pid
			task := filepath.Join("/proc", strconv.Itoa(pid), "task")
			tids, err := numbers(task)
			if err != nil {
				t.Fatal(err)
			}
			thread := map[string]int{leader: pid}
			for _, tid := range tids {
				name, err := os.ReadFile(filepath.Join(task, strconv.Itoa(tid), "comm"))
				switch {
				case err != nil:
					t.Fatal(err)
				case string(name) == "execer\n":
					thread[execer] = tid
				case tid != pid:
					thread[other] = tid
				}
			}
			if len(thread) != 3 {
				t.Fatalf("threads %v, of which are known %v", tids, thread)
			}
			hang := time.AfterFunc(time.Minute, func() {
				t.Error("the exec does not end, or what it runs is not recorded")
				_ = s.cmd.Process.Kill()
			})
			defer hang.Stop()
			ctx, letGo := context.WithCancel(context.Background())
			defer letGo()
			seen := make(chan *Call, 1000)
			ended := make(chan error, 1)
			go onThread(func() {
				tr := newTracer(Options{NoFilter: true, Handle: func(c *Call) { seen <- c }})
				tr.attached = true
				p := tr.root(pid)
				for _, name := range traced {
					if err := seize(thread[name], options); err != nil {
						ended <- err
						return
					}
					tr.add(thread[name], p)
				}
				_, _ = io.WriteString(s.in, "exec\n")
				// The exec ends the other threads. If one of them is traced, it stays a zombie until the
				// recorder waits for it. If none is, the exec ends when the thread that called it has
				// taken the number of the first thread.
				begun := func() bool { return isZombie(thread[other]) }
				if !slices.Contains(traced, other) {
					begun = func() bool { return len(status(strconv.Itoa(thread[execer]))) == 0 }
				}
				for !begun() {
					runtime.Gosched()
				}
				ended <- tr.attach(ctx, pid)
			})
			s.expect("ready")
			for n := 0; len(seen) == 0; n++ {
				select {
				case err := <-ended:
					t.Fatal(err)
				default:
				}
				s.pass("try" + strconv.Itoa(n))
			}
			if list := tracers(t, pid); slices.Contains(list, "0") {
				t.Errorf("the tracers of its threads are %v", list)
			}
			letGo()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			s.pass("after")
			s.end()
		})
	}
}

func isZombie(tid int) bool { return strings.HasPrefix(status(strconv.Itoa(tid))["State"], "Z") }

// A process that the recorder is a child of is recorded without the recorder.
func TestAttachAbove(t *testing.T) {
	needsPtrace(t)
	out, err := childCommand("traceme").Output()
	if err != nil || string(out) != "true <nil>\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// Attach ends with the process.
func TestAttachToTheEnd(t *testing.T) {
	s := startSteps(t, "parent")
	grandchildren, err := childrenOf(s.cmd.Process.Pid)
	if err != nil || len(grandchildren) != 1 {
		t.Fatalf("grandchildren %v, %v", grandchildren, err)
	}
	ended := make(chan error, 1)
	ready := make(chan struct{}, 100)
	var calls []Call
	go func() {
		_, err := Attach(context.Background(), grandchildren[0], Options{Handle: func(c *Call) {
			calls = append(calls, *c)
			ready <- struct{}{}
		}})
		ended <- err
	}()
	for n := 0; len(ready) == 0; n++ {
		s.pass("try" + strconv.Itoa(n))
	}
	s.end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(calls) == 0 {
		t.Error("nothing was recorded")
	}
	// The child that is waited for is gone as well.
	children, err := childrenOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range children {
		if s := status(strconv.Itoa(pid)); s["PPid"] == strconv.Itoa(os.Getpid()) {
			t.Errorf("child %d is left: %s", pid, s["State"])
		}
	}
}

// A child can end, and be waited for, before the fork that made it is told: no thread is
// then waited for that can tell nothing any more.
func TestGoneBeforeAnnounced(t *testing.T) {
	needsPtrace(t)
	onThread(func() {
		b, err := newBell()
		if err != nil {
			t.Error(err)
			return
		}
		tr := newTracer(Options{})
		p := tr.root(os.Getpid())
		tr.made(p, b.pid)
		if tr.threads[b.pid] == nil {
			t.Error("a child that is there is not known after its announcement")
		}
		delete(tr.threads, b.pid)
		b.ring()
		b.await()
		tr.made(p, b.pid)
		if len(tr.threads) != 0 {
			t.Error("a child that has ended is waited for")
		}
	})
}

// Where the kernel does not list children, they are found by their parent.
func TestChildrenAmongAll(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for pid, want := range map[int]bool{os.Getpid(): true, cmd.Process.Pid: false} {
		if got, err := childrenAmongAll(pid); err != nil || slices.Contains(got, cmd.Process.Pid) != want {
			t.Errorf("of %d: %v, %v", pid, got, err)
		}
	}
}
