package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/report"
	"golang.org/x/sys/unix"
)

// fifo makes a FIFO of this name.
func fifo(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ended waits until the command has ended, and kills it if that takes too long.
func ended(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() {
		t.Errorf("%v: it does not end", cmd.Args[1:])
		_ = cmd.Process.Kill()
	})
	_ = cmd.Wait() // the exit status is looked at by the caller
	timer.Stop()
}

// A signal ends scm while it reads a FIFO that has no writer.
func TestSignalWhileAnInputIsRead(t *testing.T) {
	const name = "basics/pass-one-fd/stream/x/y"
	good := reported(t, name, "crash", "x")
	for _, c := range []struct {
		what string
		args []string // %s is the FIFO
	}{
		{"run: the peers", []string{"run", "--peers", "%s"}},
		{"run: the expected failures", []string{"run", "--expect", "%s"}},
		{"run: patterns", []string{"run", "--run", "@%s"}},
		{"list: the peers", []string{"list", "--peers", "%s"}},
		{"smoke: the peers", []string{"smoke", "--peers", "%s"}},
		{"compare", []string{"compare", good, "%s"}},
		{"expect: the report", []string{"expect", "%s"}},
		{"expect: the expected failures", []string{"expect", good, "--expect", "%s"}},
		{"replay: the report", []string{"replay", "%s#1"}},
		{"replay: the expected failures", []string{"replay", good + "#1", "--expect", "%s"}},
	} {
		for s, name := range signals {
			t.Run(c.what+", "+name, func(t *testing.T) {
				t.Parallel()
				file := fifo(t, "fifo")
				args := []string{"interop"}
				for _, arg := range c.args {
					args = append(args, strings.ReplaceAll(arg, "%s", file))
				}
				cmd := exec.Command(program(t, "scm"), args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// It has a reader only once scm opens it.
				var w *os.File
				for began := time.Now(); ; time.Sleep(time.Millisecond) {
					fd, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
					if err == nil {
						w = os.NewFile(uintptr(fd), file)
						break
					}
					if !errors.Is(err, unix.ENXIO) || time.Since(began) > time.Minute {
						_ = cmd.Process.Kill()
						_ = cmd.Wait() // err is reported
						t.Fatal(err)
					}
				}
				defer w.Close()
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
				_ = cmd.Wait() // the status is looked at
				timer.Stop()
				status := cmd.ProcessState.Sys().(syscall.WaitStatus)
				if !(status.Signaled() && status.Signal() == s) && status.ExitStatus() != 128+int(s) {
					t.Errorf("got %v", cmd.ProcessState)
				}
			})
		}
	}
}

// An input without an end, or a file that is none, is an error, and fills no memory.
func TestInputsHaveALimit(t *testing.T) {
	good := reported(t, "basics/pass-one-fd/stream/x/y", "crash", "x")
	const long = "scm: /dev/zero: longer than … bytes\n"
	for _, c := range []struct {
		what string
		args []string
		want string
	}{
		{"the peers", []string{"run", "--peers", "/dev/zero"}, long},
		{"the expected failures", []string{"run", "--expect", "/dev/zero"}, long},
		{"patterns", []string{"run", "--run", "@/dev/zero"}, long},
		{"a report to compare", []string{"compare", good, "/dev/zero"}, long},
		{"a report to expect of", []string{"expect", "/dev/zero"}, long},
		{"expected failures of a report", []string{"expect", good, "--expect", "/dev/zero"}, long},
		{"a report to replay", []string{"replay", "/dev/zero#1"}, long},
		{"the peers, a folder", []string{"run", "--peers", "/"}, "scm: read /: is a directory\n"},
		{"a long line of expected failures", []string{"run", "--expect", write(t, "# One.\n** leak@x "+strings.Repeat("x", 70_000))},
			"scm: …: line 2: longer than 65536 bytes\n"},
		{"a long pattern", []string{"run", "--run", "@" + write(t, strings.Repeat("{a}", 100_000))}, "scm: …: line 1: pattern \"{a}…: longer than 4096 bytes\n"},
		{"a pattern of many parts", []string{"list", "--run", strings.Repeat("**/", 1000) + "none"}, "scm: pattern …\" matches no case\n"},
		{"--update of what is no file", []string{"expect", good, "--update", "--expect", "/dev/null"}, "scm: /dev/null: not a regular file, and --update rewrites it\n"},
	} {
		if r := limited(t, append([]string{"interop"}, c.args...)...); r.code != 2 || r.stdout != "" || !like(r.stderr, c.want) {
			t.Errorf("%s: got %.1000s\nwant %s", c.what, fmt.Sprintf("%+v", r), c.want)
		}
	}
}

// A catalogue has regular files and links to those inside, each of bounded size.
func TestFilesOfACatalogue(t *testing.T) {
	const text = "# To be read.\n# unix(7)\non stream\nA> send payload=00 fds=-\nA< ok n=1\n"
	secret := write(t, "not for a catalogue\n")
	for _, c := range []struct {
		what string
		make func(file string) error // GROUP/ID.txt
		want string                  // "": it is a catalogue
	}{
		{"a file", func(file string) error { return os.WriteFile(file, []byte(text), 0o666) }, ""},
		{"a rule that is not text", func(file string) error {
			return os.WriteFile(file, []byte("# A rule \x1b[31mred\r::error::forged.\n"+text), 0o666)
		}, "scm: group/id:1: not text: \"# A rule \\x1b[31mred\\r::error::forged.\"\n"},
		{"a link inside", func(file string) error {
			return errors.Join(os.WriteFile(file+".other", []byte(text), 0o666), os.Symlink(filepath.Base(file)+".other", file))
		}, ""},
		{"a link that leaves it", func(file string) error { return os.Symlink(secret, file) }, "scm: …group/id.txt: path escapes from parent\n"},
		{"a link to a device", func(file string) error { return os.Symlink("/dev/zero", file) }, "scm: …group/id.txt: path escapes from parent\n"},
		{"a link to nothing", func(file string) error { return os.Symlink("none.txt", file) }, "scm: …group/id.txt: no such file or directory\n"},
		{"a FIFO", func(file string) error { return unix.Mkfifo(file, 0o666) }, "scm: group/id.txt: not a regular file\n"},
		{"a folder", func(file string) error { return os.Mkdir(file, 0o777) }, "scm: group/id.txt: not a regular file\n"},
		{"a large file", func(file string) error { return errors.Join(os.WriteFile(file, nil, 0o666), os.Truncate(file, 1<<40)) },
			"scm: group/id.txt: longer than 262144 bytes\n"},
		{"a group that is a link that leaves it", func(file string) error {
			return os.Symlink(filepath.Dir(secret), filepath.Dir(file)+"s")
		}, "scm: …groups: path escapes from parent\n"},
		{"a group that is a FIFO", func(file string) error {
			return errors.Join(os.WriteFile(file, []byte(text), 0o666), unix.Mkfifo(filepath.Dir(file)+"s", 0o666))
		}, ""},
		{"expected failures that are a FIFO", func(file string) error {
			return errors.Join(os.WriteFile(file, []byte(text), 0o666), unix.Mkfifo(filepath.Dir(filepath.Dir(file))+"/expected.txt", 0o666))
		}, "check-catalogue: scm: expected.txt: expected.txt: not a regular file\n"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "group"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := c.make(filepath.Join(dir, "group", "id.txt")); err != nil {
			t.Fatal(err)
		}
		want, checked := strings.CutPrefix(c.want, "check-catalogue: ")
		r := limited(t, "interop", "check-catalogue", dir)
		if (r.code == 0) != (want == "") || !like(r.stderr, want) {
			t.Errorf("%s: check-catalogue: got %+v\nwant %s", c.what, r, want)
		}
		if checked {
			want = ""
		}
		r = limited(t, "interop", "list", "--builtin=false", "--catalogue", dir)
		if (r.code == 0) != (want == "") || !like(r.stderr, want) {
			t.Errorf("%s: list: got %+v\nwant %s", c.what, r, want)
		}
	}
}

// begin starts a run of one case, with reports.
func begin(t *testing.T, reports ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	args := []string{"interop", "run", "--builtin=false", "--peer", "fake=" + program(t, "faulty"), "--run", "basics/pass-one-fd/**/fake/fake"}
	for _, file := range reports {
		args = append(args, "--report", file)
	}
	cmd, stderr = exec.Command(program(t, "scm"), args...), &bytes.Buffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

// The reader of a FIFO receives the whole report, and the FIFO is not replaced by a file.
func TestReportToFIFO(t *testing.T) {
	for _, name := range []string{"r.jsonl", "r.json"} {
		file := fifo(t, name)
		cmd, stderr := begin(t, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ended(t, cmd)
		copied := filepath.Join(t.TempDir(), "copy"+filepath.Ext(file))
		if err := os.WriteFile(copied, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(file); err != nil || info.Mode().Type() != os.ModeNamedPipe {
			t.Errorf("%s: got %v, %v", name, info.Mode(), err)
		}
		if cmd.ProcessState.ExitCode() != 0 || stderr.Len() > 0 {
			t.Errorf("%s: got %v, %s", name, cmd.ProcessState, stderr)
		}
		if r, err := report.Read(copied); err != nil || len(r.Cases) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// A reader that goes away is an error of the report.
func TestReaderOfAReportGoesAway(t *testing.T) {
	file := fifo(t, "r.jsonl")
	cmd, stderr := begin(t, file)
	f, err := os.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd)
	if cmd.ProcessState.ExitCode() != 4 || !strings.Contains(stderr.String(), "scm: the report cannot be written: ") {
		t.Errorf("got %v, %s", cmd.ProcessState, stderr)
	}
}

// A stream goes to a regular file or a FIFO, and to nothing else.
func TestStreamToWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.jsonl")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: file}); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := begin(t, file)
	ended(t, cmd)
	if cmd.ProcessState.ExitCode() != 4 || !like(stderr.String(), "scm: the report cannot be written: …r.jsonl: …\n") {
		t.Errorf("got %v, %s", cmd.ProcessState, stderr)
	}
}
