package recorder

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/peers"
)

// The tests in this file compare the reports about real programs with /proc, which the test itself reads while the
// process is stopped. The test passes a file of its own to each program. A descriptor is the received one if it
// refers to that file.

const root = "../.."

// A witness notes every descriptor for its file that is open when a process ends or has executed a program.
type witness struct {
	file   *os.File
	info   os.FileInfo
	skip   string // the base name of a program that has a descriptor of its own for the file
	points []checkpoint
}

// A checkpoint is the end of a process, or an exec.
type checkpoint struct {
	pid, program string
	open         []int // all descriptors for the file
	reported     []int // the descriptors that the recorder has reported
}

func newWitness(t *testing.T, dir string) *witness {
	t.Helper()
	path := filepath.Join(dir, "file")
	fdtest.Must(t, os.WriteFile(path, []byte("hello\n"), 0o666))
	file, err := os.Open(path)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	info, err := file.Stat()
	fdtest.Must(t, err)
	return &witness{file: file, info: info}
}

func (w *witness) look(tid int) {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", tid))
	check(err)
	e := checkpoint{pid: status(tid).Field("Tgid"), program: filepath.Base(program)}
	fds, err := procfs.OpenFDs(tid)
	check(err)
	for _, fd := range fds {
		info, err := os.Stat(procfs.FDPath(tid, fd))
		if err == nil && os.SameFile(info, w.info) && e.program != w.skip {
			e.open = append(e.open, fd)
		}
	}
	w.points = append(w.points, e)
}

// reported adds a descriptor to the last checkpoint, unless it is about another file that parts of the program pass to
// each other.
func (w *witness) reported(t *testing.T, o *StillOpen) {
	t.Logf("%d %s", o.Process.PID, o.Text())
	e := &w.points[len(w.points)-1]
	if pid := strconv.Itoa(o.Process.PID); pid != e.pid {
		t.Errorf("a descriptor of process %s was reported at the end of process %s", pid, e.pid)
	}
	if o.File.Name == w.file.Name() {
		e.reported = append(e.reported, int(o.File.FD))
	}
}

// judge compares the reports with what /proc has shown. If there are several descriptors for the file, all but
// one are duplicates, because the file was received once.
func (w *witness) judge(t *testing.T) (reported int) {
	t.Helper()
	for _, e := range w.points {
		reported += len(e.reported)
		if len(e.reported) != min(len(e.open), 1) {
			t.Errorf("process %s (%s): reported %v; open are %v", e.pid, e.program, e.reported, e.open)
		}
		for _, fd := range e.reported {
			if !slices.Contains(e.open, fd) {
				t.Errorf("process %s (%s): reported %d; open are %v", e.pid, e.program, fd, e.open)
			}
		}
	}
	return reported
}

// A program is recorded by a test.
type program struct {
	cmd     *exec.Cmd
	send    bool                                             // the test passes its file over dir/socket
	session func(p *os.Process, in io.Writer, out io.Reader) // the test writes to the program and reads from it
	skip    string                                           // see witness
	lines   int                                              // the number of reports, or anyNumber
}

const anyNumber = -1

// witnessed records a program, and compares the reports with what the witness has seen.
func witnessed(t *testing.T, dir string, w *witness, p program) {
	t.Helper()
	w.skip = p.skip
	if p.cmd.Dir == "" {
		p.cmd.Dir = dir
	}
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	o := Options{atStillOpen: w.look, StillOpen: func(o *StillOpen) { w.reported(t, o) }}
	sessionEnded := make(chan struct{})
	if p.session == nil {
		close(sessionEnded)
		p.cmd.Stdout = &stderr
	} else {
		in, toProgram, err := os.Pipe()
		fdtest.Must(t, err)
		fromProgram, out, err := os.Pipe()
		fdtest.Must(t, err)
		p.cmd.Stdin, p.cmd.Stdout = in, out
		o.Started = func(process *os.Process) {
			_, _ = in.Close(), out.Close()
			go func() {
				defer close(sessionEnded)
				p.session(process, toProgram, fromProgram)
				_ = toProgram.Close()
				_, _ = io.Copy(io.Discard, fromProgram)
				_ = fromProgram.Close()
			}()
		}
	}
	if p.send {
		stop := w.serve(t, filepath.Join(dir, "socket"))
		defer stop()
	}
	_, err := Record(p.cmd, o)
	var exit *ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Status.Signal() != unix.SIGKILL) {
		t.Fatalf("record %q: %v\n%s", p.cmd.Args, err, &stderr)
	}
	<-sessionEnded
	if got := w.judge(t); p.lines != anyNumber && got != p.lines {
		t.Errorf("got %d reports, want %d", got, p.lines)
	}
}

// serve passes the file to the first program that connects to a socket.
func (w *witness) serve(t *testing.T, path string) (stop func()) {
	t.Helper()
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(listener, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = unix.Listen(listener, 1)
	}
	fdtest.Must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.Sendmsg(conn, []byte("x"), unix.UnixRights(int(w.file.Fd())), nil, 0)
		_ = unix.Close(conn)
	}()
	return func() {
		_ = unix.Shutdown(listener, unix.SHUT_RD)
		<-done
		_ = unix.Close(listener)
	}
}

// compiler returns the C compiler that Go would use.
func compiler(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "CC").Output()
	cc := strings.Fields(string(out))
	if err != nil || len(cc) == 0 {
		fdtest.Missing(t, fdtest.Compiler, "go env CC names no C compiler")
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		fdtest.Missing(t, fdtest.Compiler, "no C compiler: "+err.Error())
	}
	return cc
}

// mustBuild runs a build command.
func mustBuild(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = fdtest.WithoutMake()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// codeBlock returns the code block of a page that contains a text.
func codeBlock(t *testing.T, page, language, text string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	fdtest.Must(t, err)
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(content, -1) {
		if bytes.Contains(m[1], []byte(text)) {
			return m[1]
		}
	}
	t.Fatalf("%s has no %s code with %q", page, language, text)
	return nil
}

func TestStillOpenInPrograms(t *testing.T) {
	if runtime.GOARCH == "386" {
		t.Skip("the test builds and runs programs for amd64 only; TestStillOpen has programs for 386")
	}
	needsPtrace(t)
	fdtest.Program(t, "go")
	bin := t.TempDir()
	scm := filepath.Join(bin, "scm")
	mustBuild(t, "go", "build", "-o", bin+"/", root+"/cmd/scm", root+"/examples/pass",
		root+"/examples/mycat/go/mycat", root+"/examples/mycat/go/openfile")
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) program
	}{
		{"receive of docs/c.md", func(t *testing.T, dir string) program {
			source, binary := filepath.Join(dir, "receive.c"), filepath.Join(dir, "receive")
			fdtest.Must(t, os.WriteFile(source, codeBlock(t, "docs/c.md", "c", "read_fd"), 0o600))
			library, _ := filepath.Glob(root + "/csrc/*.c")
			mustBuild(t, slices.Concat(compiler(t), []string{"-I" + root + "/csrc", "-o", binary, source}, library)...)
			return program{cmd: exec.Command(binary), send: true, lines: 1}
		}},
		{"examples/pass", func(*testing.T, string) program {
			return program{cmd: exec.Command(bin + "/pass"), send: true, lines: 0}
		}},
		{"scm recv", func(t *testing.T, _ string) program {
			return program{cmd: exec.Command(scm, "recv", "--connect", "socket"), send: true, lines: anyNumber}
		}},
		{"scm recv -- COMMAND", func(t *testing.T, _ string) program {
			return program{cmd: exec.Command(scm, "recv", "--connect", "socket", "--", "cat", "/dev/fd/3"), send: true, lines: anyNumber}
		}},
		{"scm recv -- sh", func(t *testing.T, _ string) program {
			return program{cmd: exec.Command(scm, "recv", "--connect", "socket", "--", "sh", "-c", "cat <&3; exec 3<&-; cat"), send: true, lines: anyNumber}
		}},
		{"scm send", func(t *testing.T, dir string) program {
			receiver := exec.Command(scm, "recv", "receiver")
			receiver.Dir = dir
			fdtest.Must(t, receiver.Start())
			t.Cleanup(func() { _ = receiver.Wait() })
			return program{cmd: exec.Command(scm, "send", "--timeout", "1m", "receiver", "file"), skip: "scm", lines: 0}
		}},
		{"pass.py of docs/primer.md", func(t *testing.T, dir string) program {
			page, err := os.ReadFile(root + "/docs/primer.md")
			fdtest.Must(t, err)
			source := regexp.MustCompile(`(?s)    import os, socket\n.*?\n\n`).Find(page)
			source = bytes.ReplaceAll(source[4:], []byte("\n    "), []byte("\n"))
			fdtest.Must(t, os.WriteFile(filepath.Join(dir, "pass.py"), source, 0o600))
			fdtest.Program(t, "python3")
			return program{cmd: exec.Command("python3", "pass.py"), lines: 1}
		}},
		{"mycat in C", func(t *testing.T, dir string) program {
			compiler(t)
			mustBuild(t, "make", "-s", "-C", root+"/examples/mycat/c", "OUT="+dir)
			return program{cmd: exec.Command(dir+"/mycat", "file"), skip: "openfile", lines: 0}
		}},
		{"mycat in Go", func(_ *testing.T, dir string) program {
			cmd := exec.Command(bin+"/mycat", dir+"/file")
			cmd.Dir = bin // where openfile is
			return program{cmd: cmd, skip: "openfile", lines: 0}
		}},
		{"python with a child", func(t *testing.T, dir string) program {
			const text = `
import os, socket, subprocess
s = socket.socket(socket.AF_UNIX)
s.connect("socket")
_, fds, _, _ = socket.recv_fds(s, 1, 1)
subprocess.run(["true"])
subprocess.run(["cat"], stdin=fds[0])
subprocess.run(["true"], pass_fds=fds)
if os.fork() == 0:
    os._exit(0)
os.wait()
os.close(fds[0])
`
			// The exec of cat, which closes its standard input; the exec and the end of the second true; and the
			// end of the fork.
			fdtest.Program(t, "python3")
			return program{cmd: exec.Command("python3", "-c", text), send: true, lines: 4}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fdtest.ShortDir(t)
			w := newWitness(t, dir)
			witnessed(t, dir, w, c.make(t, dir))
		})
	}

	folder := filepath.Join(root, "interop/peers")
	script := func(interpreter, name string) func(t *testing.T) []string {
		return func(t *testing.T) []string {
			fdtest.Program(t, interpreter)
			return []string{interpreter, filepath.Join(folder, name)}
		}
	}
	inC := func(name string) func(t *testing.T) []string {
		return func(t *testing.T) []string {
			var log bytes.Buffer
			b := peers.BuildPartner(t.Context(), root, name, &log)
			if b.Broken {
				t.Fatalf("%s\n%s", b.Why, &log)
			} else if b.Why != "" {
				fdtest.Missing(t, b.Lacks, b.Why)
			}
			return b.Command
		}
	}
	inGo := func(name string) func(t *testing.T) []string {
		return func(*testing.T) []string { return []string{scm, "interop", "peer", name} }
	}
	for name, command := range map[string]func(t *testing.T) []string{
		"csrc": inC("csrc"), "csrc-pair": inC("csrc-pair"), "book": inC("book"), "qa": inC("qa"),
		"scm": inGo("scm"), "scm-pair": inGo("scm-pair"), "scm-fdchannel": inGo("scm-fdchannel"), "net": inGo("net"), "xsys": inGo("xsys"),
		"python":       script("python3", "python/send_fds.py"),
		"ruby-sendmsg": script("ruby", "ruby/sendmsg.rb"),
		"ruby-send-io": script("ruby", "ruby/send_io.rb"),
		"perl-msghdr":  script("perl", "perl/msghdr.pl"),
		"perl-fdpass":  script("perl", "perl/fdpass.pl"),
		"php":          script("php", "php/sendmsg.php"),
	} {
		t.Run("peer "+name, func(t *testing.T) {
			args := command(t)
			for _, closes := range []bool{false, true} {
				dir := fdtest.ShortDir(t)
				witnessedPeer(t, newWitness(t, dir), dir, exec.Command(args[0], args[1:]...), closes)
			}
		})
	}
}

// witnessedPeer passes the file to a peer, which closes it, or is killed.
func witnessedPeer(t *testing.T, w *witness, dir string, cmd *exec.Cmd, closes bool) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fdtest.Must(t, err)
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	fdtest.Must(t, unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(w.file.Fd())), nil, 0))
	if cmd.Path, err = filepath.Abs(cmd.Path); err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.ExtraFiles = ".", []*os.File{theirs}
	p := program{cmd: cmd, lines: 1}
	if closes {
		p.lines = 0
	}
	answers := make(chan string, 10)
	p.session = func(process *os.Process, in io.Writer, out io.Reader) {
		lines := bufio.NewScanner(out)
		ask := func(command string) (answer string) {
			_, _ = io.WriteString(in, command+"\n")
			lines.Scan()
			answers <- lines.Text()
			return lines.Text()
		}
		if !strings.HasPrefix(ask("hello"), "ok ") {
			return
		}
		ask("use sock=3")
		_, fds, _ := strings.Cut(ask("recv bytes=1 fds=1"), "fds=")
		fds, _, _ = strings.Cut(fds, " ")
		if closes {
			ask("close fds=" + fds)
		} else {
			_ = process.Kill()
		}
	}
	hello := exec.Command(cmd.Path, cmd.Args[1:]...)
	hello.Stdin = strings.NewReader("hello\n")
	hello.WaitDelay = time.Minute
	if out, err := hello.Output(); err != nil || !bytes.HasPrefix(out, []byte("ok ")) {
		fdtest.Missing(t, hello.Args[0], fmt.Sprintf("the peer %q does not run here: %q, %v", hello.Args, out, err))
	}
	witnessed(t, dir, w, p)
	close(answers)
	for answer := range answers {
		if !strings.HasPrefix(answer, "ok") {
			t.Errorf("the peer answered %q", answer)
		}
	}
}
