package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/programs"
	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

func init() { reexec.Register("poked server", testserver.Main) }

// poke runs scm poke with a test server. It ends as soon as a correct server has closed everything.
func poke(t *testing.T, mode string, flags ...string) result {
	t.Helper()
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	args := append([]string{"poke", "--timeout", "1m", "--settle", "1m", "--name", "mine", "--socket", socket}, flags...)
	args = append(args, "--")
	return command(t, append(args, reexec.CommandLine("poked server", mode, "stream", socket)...)...)
}

func TestPokeStatus(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		fdtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	accept := file("accept.txt", "# known\n* leak@mine<2 it is a store\nbyte leak@other why\n")
	unread := file("unread.txt", "newline unread@mine it closes it\nbyte leak@other<2 why\n")
	for _, c := range []struct {
		name, mode string
		flags      []string
		code       int
		last       string // line of the output
	}{
		{"no findings", "correct", nil, 0, "mine: no findings"},
		{"findings", "all", []string{"--settle=10ms"}, 1, "mine: 9 findings"},
		{"accepted", "all", []string{"--settle=10ms", "--accept", accept, "--program-version=1.9"}, 0, "mine: no findings, 9 accepted, 1 accepted line set aside"},
		{"accepted for another version", "all", []string{"--settle=10ms", "--accept", accept, "--program-version=2"}, 1, "mine: 9 findings, 2 accepted lines set aside"},
		{"accepted without an occurrence", "correct", []string{"--accept", accept, "--program-version=1.9"}, 1, "mine: no findings, 9 accepted but not found, 1 accepted line set aside"},
		{"without a version", "correct", []string{"--accept", accept}, 2, "scm: " + accept + ":2: * leak@mine<2: the line is about versions of mine; add --program-version"},
		{"no verdict", "closes", nil, 4, "mine: no findings, 1 without a verdict"},
		{"an accepted item without a verdict", "closes", []string{"--accept", unread}, 0,
			"mine: no findings, 1 accepted, 1 accepted line set aside"},
		{"accepted, but read", "correct", []string{"--accept", unread}, 1,
			"mine: no findings, 1 accepted but not found, 1 accepted line set aside"},
		{"a pattern to create", "correct", []string{"--activate", "--socket=x*"}, 2,
			"scm: --activate creates the socket, and cannot be used with a pattern"},
		{"an unfinished reason", "correct", []string{"--accept", file("unfinished.txt", "byte leak@mine ? why")}, 2, `scm: complete the reasons of these lines, and remove the "?"`},
		{"an unknown report", "correct", []string{"--report", "report.html"}, 2, `scm: report "report.html": the file name must end in one of .json .txt .xml`},
		{"dangerous without a pid", "correct", []string{"--dangerous"}, 2, "scm: --dangerous is for --pid; a SERVER always gets all items"},
		{"an unknown type", "correct", []string{"--type=datagram"}, 2, `scm: unknown --type "datagram": use stream, dgram or seqpacket`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := poke(t, c.mode, c.flags...)
			lines := strings.Split(strings.TrimSpace(r.stderr+r.stdout), "\n")
			if r.code != c.code || lines[len(lines)-1] != c.last {
				t.Errorf("exit status %d, want %d and %s\n%s", r.code, c.code, c.last, r.text())
			}
			want := "sending " + strings.Join(programs.Items, "\nsending ") + "\n"
			if c.code != 2 && r.stderr != want {
				t.Errorf("got %q, want %q", r.stderr, want)
			}
		})
	}
}

// A process that does not exist has no name either.
func TestPokeAProcessThatDoesNotExist(t *testing.T) {
	const want = "scm: --pid 2147483647: no such process\n"
	runs(t, result{code: 4, stderr: want}, "poke", "--socket=x", "--pid=2147483647")
}

func TestPokeUsage(t *testing.T) {
	long := "/tmp/" + strings.Repeat("x", 103)
	for _, c := range []struct{ args, want string }{
		{"--pid 1", "poke needs the --socket of the server"},
		{"--json --pid 1", "--json is for --list"},
		{"--list --pid 1", "--list prints all sockets: use it without --socket, --pid and SERVER"},
		{"--socket x", "poke needs either a SERVER or --pid PID"},
		{"--socket x --pid 1 2", `unexpected argument "2": --pid takes one process, the parent of the others, and no SERVER`},
		{"--socket x --pid 1 -- server", `unexpected argument "server": --pid takes one process, the parent of the others, and no SERVER`},
		{"--socket x --pid 0", "--pid 0: a process has a PID greater than 0"},
		{"--pid 1 --socket " + long, long + ": the address of a socket has at most 107 bytes, and this one has 108: use a shorter path, or a relative one"},
		{"--pid 1 --socket @" + long, "@" + long + ": the address of a socket has at most 108 bytes, and this one has 109: use a shorter path, or a relative one"},
	} {
		r := command(t, append([]string{"poke"}, strings.Fields(c.args)...)...)
		if r.code != 2 || r.stdout != "" || !like(r.stderr, "scm: "+c.want+"\nusage: …") {
			t.Errorf("scm poke %s: got %+v, want %s", c.args, r, c.want)
		}
	}
}

// The list of sockets has one on which this process listens, and scm does not connect to it.
func TestPokeList(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(fdtest.ShortDir(t), "socket"))
	fdtest.Must(t, err)
	defer l.Close()
	for flag, want := range map[string]string{"--json=false": " " + l.Addr().String() + "\n", "--json": fmt.Sprintf("%q", l.Addr())} {
		if r := command(t, "poke", "--list", flag); r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	_ = l.(*net.UnixListener).SetDeadline(time.Now())
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a process has connected: %v", err)
	}
}

func TestPokeReports(t *testing.T) {
	dir := fdtest.ShortDir(t)
	args := []string{"poke", "--timeout=1m", "--settle=10ms", "--name=mine", "--socket", dir + "/socket"}
	for _, name := range []string{"/r.json", "/r.xml", "/r.txt"} {
		args = append(args, "--report", dir+name)
	}
	// The report has only what the server prints during the item.
	args = append(args, "--", "/bin/sh", "-c", `echo started; exec "$0" "$@"`)
	args = append(args, reexec.CommandLine("poked server", "opath", "stream", dir+"/socket")...)
	if r := command(t, args...); r.code != 1 {
		t.Fatal(r.text())
	}
	var got programs.Report
	text, err := os.ReadFile(dir + "/r.json")
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	last := got.Trials[len(got.Trials)-1]
	const output = "assertion failed: not O_PATH"
	if err != nil || got.Tool != "scm poke" || last.What != "path" ||
		last.Findings[0].Check != programs.CheckCrash || last.Output != output {
		t.Errorf("%v; want a crash at path with the output %q in\n%s", err, output, text)
	}
	for name, want := range map[string]string{
		"/r.xml": `<testsuites name="scm poke"`,
		"/r.txt": "path       FOUND crash@mine: is killed by SIGKILL after a descriptor opened with O_PATH. To fix it: docs/",
	} {
		if text, err := os.ReadFile(dir + name); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v; want %q in\n%s", name, err, want, text)
		}
	}
}

// Without the permission to look at a process, nothing can be found out, and nothing is sent. The environment is the
// reason only if it is not the process.
func TestPokeNeedsPermission(t *testing.T) {
	fdtest.NeedRoot(t, "start processes of other users")
	t.Setenv("container", "lxc")
	for _, c := range []struct {
		command  string
		uid, gid uint32
		caps     []uintptr
		want     string
	}{
		{"poke --socket /nonexistent/socket --pid", 65533, 65534, nil, " (sleep): it belongs to another user, "},
		{"trace -p", 65533, 65534, nil, "not permitted: it belongs to another user, "},
		{"trace -p", 65534, 65533, nil, "not permitted: it belongs to another group, "},
		{"trace -p", 65534, 65534, []uintptr{unix.CAP_CHOWN}, "not permitted: it is not dumpable "},
	} {
		server := exec.Command("sleep", "1000")
		server.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid}, AmbientCaps: c.caps}
		if err := server.Start(); err != nil {
			t.Fatalf("as user %d, group %d: %v", c.uid, c.gid, err)
		}
		cmd := exec.Command(program(t, "scm"), strings.Fields(c.command+" "+strconv.Itoa(server.Process.Pid))...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		if r := finish(t, cmd); r.code != 4 || !strings.Contains(r.text(), c.want) {
			t.Errorf("%s of user %d, group %d: exit status %d, want 4 and %q\n%s",
				c.command, c.uid, c.gid, r.code, c.want, r.text())
		}
		_ = server.Process.Kill()
		_ = server.Wait()
	}
}

// The server may be the parent of scm. The descriptors of scm and its children are not the server's.
func TestPokeParent(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	script := shellCommand("poked server", "correct", "stream", socket) + ` &
		read listening
		scm poke --pid $$ --name mine --settle 10ms --timeout 1m --socket "$1"; code=$?; kill $!; exit $code`
	cmd := exec.Command("sh", "-c", script, "sh", socket)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t, "scm"))+":"+os.Getenv("PATH"))
	listening, err := cmd.StdinPipe()
	fdtest.Must(t, err)
	go func() {
		for limit := time.Now().Add(time.Minute); !programs.Listening(socket) && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
		listening.Close()
	}()
	if r := finish(t, cmd); r.code != 0 || !strings.HasSuffix(r.stdout, "mine: no findings\n") {
		t.Errorf("exit status %d\n%s", r.code, r.text())
	}
}

// A run that ends early reports what was found before, in each format, and does not look like a whole run.
func TestPokeReportsOfARunThatWasCutShort(t *testing.T) {
	signal := `kill -INT $(sed -n 's/^PPid:\t//p' /proc/$PPID/status); exec sleep 1000`
	for _, c := range []struct {
		second string // what the server does instead of starting for the second time
		code   int
		why    string
	}{
		{"echo locked; exit 3", 4, "the server has ended: exit status 3; its output:\nlocked"},
		{signal, 130, "interrupt"},
	} {
		dir := fdtest.ShortDir(t)
		script := fmt.Sprintf(`echo >>%s/starts; [ $(wc -l <%s/starts) -le 1 ] || { %s; }; %s`,
			dir, dir, c.second, shellCommand("poked server", "both", "stream", dir+"/socket"))
		args := []string{"poke", "--name=mine", "--timeout=1m", "--settle=10ms", "--socket", dir + "/socket",
			"--report", dir + "/r.json", "--report", dir + "/r.xml", "--report", dir + "/r.txt", "--accept", write(t, "byte leak@mine why\n"), "--", "sh", "-c", script}
		const verdict = "mine: 6 findings, 1 accepted, 2 without a verdict, cut short: "
		r := command(t, args...)
		text, end := contents(t, dir+"/r.txt"), "\n"+verdict+strings.ReplaceAll(c.why, "\n", "\n| ")+"\n"
		if r.code != c.code || r.stdout != text || !strings.HasSuffix(text, end) {
			t.Errorf("exit status %d, want %d and%s\ngot %s", r.code, c.code, end, r.text())
		}
		var got programs.Report
		if err := json.Unmarshal([]byte(contents(t, dir+"/r.json")), &got); err != nil || got.Broken != c.why || len(got.Trials) < 5 {
			t.Errorf("%v; got %+v, want %q after at least 5 trials", err, got, c.why)
		}
		first, _, _ := strings.Cut(c.why, "\n")
		text = contents(t, dir+"/r.xml")
		for _, want := range []string{`<error message="` + first, "accepted leak@mine"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// A signal ends the server too.
func TestPokeSignal(t *testing.T) {
	dir := fdtest.ShortDir(t)
	// The server is a child of the supervisor, which is one of scm.
	script := "echo $$ >pid; kill $(sed -n 's/^PPid:\t//p' /proc/$PPID/status); exec sleep 1000"
	cmd := exec.Command(program(t, "scm"), "poke", "--timeout=10m", "--socket", dir+"/socket", "--", "sh", "-c", script)
	cmd.Dir = dir
	r := finish(t, cmd)
	text, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, r.text())
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if err := syscall.Kill(pid, 0); r.code != 128+int(syscall.SIGTERM) || err != syscall.ESRCH {
		t.Errorf("exit status %d, and the server: %v\n%s", r.code, err, r.text())
	}
}

// shellCommand returns a command for /bin/sh that executes a registered program.
func shellCommand(name string, args ...string) string {
	return "exec '" + strings.Join(reexec.CommandLine(name, args...), "' '") + "'"
}
