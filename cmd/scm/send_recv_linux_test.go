package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/wire"
	"golang.org/x/sys/unix"
)

// patience is more than the other side needs to come.
const patience = "--timeout=1m"

// started is a command that runs beside another one.
type started struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{cmd: exec.Command(program(t, "scm"), args...)}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = &s.stdout, &s.stderr, t.TempDir()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *started) wait() result {
	_ = s.cmd.Wait() // the exit status is looked at
	return result{s.cmd.ProcessState.ExitCode(), s.stdout.String(), s.stderr.String()}
}

// pass has one scm receive and another one send.
func meet(t *testing.T, recv, send []string) (received, sent result) {
	t.Helper()
	r := start(t, append([]string{"recv", patience}, recv...)...)
	sent = command(t, append([]string{"send", patience}, send...)...)
	return r.wait(), sent
}

func TestSendAndRecv(t *testing.T) {
	text := write(t, "0123456789")
	for _, kind := range []string{"stream", "dgram", "seqpacket"} {
		for _, addr := range []string{filepath.Join(t.TempDir(), "socket"), fmt.Sprintf("@scm-test-%d-%s", os.Getpid(), kind)} {
			received, sent := meet(t, []string{"--type", kind, addr}, []string{"--type", kind, addr, text, "/dev/null", "/"})
			want := "1 byte \"\\x00\", 3 descriptors\nregular, read, offset 0, " + text + "\ncharacter device, read, /dev/null\ndirectory, read, /\n"
			if sent != (result{}) || received != (result{stdout: want}) {
				t.Errorf("%s, %s: sent %+v, received %+v", kind, addr, sent, received)
			}
			if _, err := os.Lstat(addr); err == nil {
				t.Errorf("%s is left", addr)
			}
		}
	}
}

// The one who sends may be the one who waits.
func TestSendListens(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "socket")
	for _, kind := range []string{"stream", "seqpacket"} {
		s := start(t, "send", "--listen", patience, "--type", kind, "--mode", "append", "--hex", "00ff", addr, write(t, ""))
		r := command(t, "recv", "--connect", patience, "--type", kind, addr)
		if sent := s.wait(); sent != (result{}) || r.code != 0 || !strings.HasPrefix(r.stdout, "2 bytes \"\\x00\\xff\", 1 descriptor\nregular, write, offset 0, /") {
			t.Errorf("%s: sent %+v, received %+v", kind, sent, r)
		}
	}
}

// What is passed is the open file and not its name: who receives it goes on where the
// sender has stopped.
func TestInheritedDescriptor(t *testing.T) {
	file, err := os.Open(write(t, "0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	addr := filepath.Join(t.TempDir(), "socket")
	r := start(t, "recv", patience, "--cat", addr)
	send := exec.Command(program(t, "scm"), "send", patience, addr, "--fd", "3")
	send.ExtraFiles = []*os.File{file}
	if sent := finish(t, send); sent != (result{}) {
		t.Errorf("sent %+v", sent)
	}
	if got := r.wait(); got != (result{stdout: "456789"}) {
		t.Errorf("received %+v", got)
	}
}

// A command has the files from 3 on, and the variables of systemd say so: it runs in place of
// scm, which leaves nothing of its own open.
func TestRecvCommand(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "socket")
	a, b := write(t, "of a\n"), write(t, "of b\n")
	report := `test "$LISTEN_PID" = $$ && echo "$LISTEN_FDS $LISTEN_FDNAMES$LISTEN_PIDFDID"; cat <&4; cat <&3; exit 7`
	t.Setenv("LISTEN_PIDFDID", "1") // of whoever started scm
	received, sent := meet(t, []string{addr, "--", "/bin/sh", "-c", report}, []string{addr, a, b, "/"})
	if sent != (result{}) || received != (result{7, "3 file:file:/\nof b\nof a\n", ""}) {
		t.Errorf("sent %+v, received %+v", sent, received)
	}

	// What this process gives all its children is none of scm's.
	children, err := exec.Command("/bin/ls", "/proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	received, _ = meet(t, []string{addr, "--", "/bin/ls", "/proc/self/fd"}, []string{addr, a, b, "/"})
	numbers := append(strings.Fields(string(children)), "4", "5", "6") // 3 is the folder's without them
	slices.Sort(numbers)
	numbers = slices.Compact(numbers) // a file takes the place of what all children inherit: flock's lock, say
	if got := strings.Fields(received.stdout); !slices.Equal(got, numbers) {
		t.Errorf("open are %v, want %v", got, numbers)
	}

	// As many as there can be, in order.
	args := []string{addr}
	for i := range 253 {
		args = append(args, write(t, fmt.Sprintf("%d\n", i)))
	}
	received, sent = meet(t, []string{addr, "--", "/bin/bash", "-c", `for ((i = 3; i < 3 + LISTEN_FDS; i++)); do cat <&$i; done`}, args)
	all := ""
	for i := range 253 {
		all += fmt.Sprintf("%d\n", i)
	}
	if sent != (result{}) || received != (result{stdout: all}) {
		t.Errorf("sent %+v, received %+v", sent, received)
	}

	// recv does not wait for a message if its command does not exist.
	received = command(t, "recv", patience, addr, "--", "/nonexistent")
	if received.code != 1 || !strings.Contains(received.stderr, "/nonexistent") {
		t.Errorf("received %+v", received)
	}
	received, _ = meet(t, []string{addr, "--", "/bin/true"}, []string{addr})
	if received != (result{code: 1, stderr: "scm: the message came without a descriptor\n"}) {
		t.Errorf("received %+v", received)
	}
}

// Each format is understood by its own kind, and a name goes with the file where there
// is place for one.
func TestSendFormats(t *testing.T) {
	file := write(t, "")
	for _, f := range wire.Formats() {
		addr := filepath.Join(t.TempDir(), "socket")
		send := []string{"--format", f.Name(), addr, file}
		want := "0 bytes, 1 descriptor\n"
		switch f.Name() {
		case "runc", "conmon":
			want = fmt.Sprintf("%d bytes %q, 1 descriptor\n", len(file), file)
			if len(file) > mostShown {
				want = fmt.Sprintf("%d bytes %q…, 1 descriptor\n", len(file), file[:mostShown])
			}
		case "notify":
			send, want = append(send, "--payload", "FDSTORE=1"), "9 bytes \"FDSTORE=1\", 1 descriptor\n"
		case "skalibs-ancil":
			send, want = append(send, "--payload", "|"), "1 byte \"|\", 1 descriptor\n"
		}
		received, sent := meet(t, []string{"--format", f.Name(), "--expect", "regular", addr}, send)
		if sent != (result{}) || received.code != 0 || received.stdout != want+"regular, read, offset 0, "+file+"\n" {
			t.Errorf("%s: sent %+v, received %+v", f.Name(), sent, received)
		}
	}
}

func TestRecvJSON(t *testing.T) {
	type came struct {
		Payload     string `json:"payload"` // in hexadecimal digits
		Descriptors []file `json:"descriptors"`
	}
	addr := filepath.Join(t.TempDir(), "socket")
	empty := write(t, "")
	received, _ := meet(t, []string{"--json", addr}, []string{addr, empty, "/dev/null", "--payload", "hé"})
	var got came
	if err := json.Unmarshal([]byte(received.stdout), &got); err != nil {
		t.Fatal(err)
	}
	zero := int64(0)
	want := came{"68c3a9", []file{{"regular", "read", &zero, empty, ""}, {"character device", "read", nil, "/dev/null", ""}}}
	if text, _ := json.Marshal(want); string(text)+"\n" != received.stdout {
		t.Errorf("got %s, want %s", received.stdout, text)
	}
}

// The digits of a long payload are not in memory.
func TestRecvJSONMemory(t *testing.T) {
	payload := bytes.Repeat([]byte{0xab}, 16<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := (&receiving{json: true}).tell(io.Discard, payload, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for a payload of %d", got, len(payload))
	}
}

// Bad input is reported in one line, and nothing is left.
func TestSendAndRecvRefuse(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "socket")
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"send", 2, "scm: requires at least 1 arg(s), only received 0\n"},
		{"send ADDR /nonexistent", 1, "scm: open /nonexistent: no such file or directory\n"},
		{"send ADDR /etc/passwd", 1, "scm: dial unix …/socket: connect: no such file or directory\n"},
		{"send ADDR --type raw", 2, "scm: no such type of socket: \"raw\"\n"},
		{"send ADDR --format morse", 2, "scm: no such format: \"morse\"; formats are …\n"},
		{"send ADDR --format gvisor --type stream", 2, "scm: the format gvisor needs --type seqpacket\n"},
		{"send ADDR --fd 77", 1, "scm: descriptor 77 was not inherited\n"},
		{"send ADDR --fd x", 2, "scm: invalid argument \"x\" for \"--fd\" flag: …\n"},
		{"send ADDR --hex 0", 2, "scm: --hex: encoding/hex: odd length hex string\n"},
		{"send ADDR --hex 00 --payload a", 2, "scm: if any flags in the group [payload hex] are set none of the others can be; …\n"},
		{"send ADDR --mode execute", 2, "scm: --mode is read, write, read-write or append, and not \"execute\"\n"},
		{"send ADDR --listen --type dgram", 2, "scm: a datagram socket has nobody to wait for: no --listen with --type dgram\n"},
		{"send ADDR --timeout -1s", 2, "scm: --timeout must not be less than 0\n"},
		{"send ADDR /etc/passwd --payload=", 2, "scm: a stream carries nothing without a byte: the payload is empty\n"},
		{"send ADDR --payload=", 2, "scm: a stream carries nothing without a byte: the payload is empty\n"},
		{"send ADDR" + strings.Repeat(" /dev/null", 253) + " --fd 0", 2, "scm: 254 files: a message has 253 at most\n"},
		{"send ADDR /etc/passwd --fd 3", 1, "scm: descriptor 3 was not inherited\n"}, // the file's number
		{"send ADDR /etc/passwd /etc/group --format runc", 2, "scm: wire: runc: 2 descriptors to send, not 1\n"},
		{"send ADDR --format notify", 2, "scm: wire: notify: a state of 0 bytes…\n"},
		{"send @ /etc/passwd", 2, "scm: SOCKET is \"@\": it needs a name\n"},
		{"recv @", 2, "scm: SOCKET is \"@\": it needs a name\n"},
		{"recv ADDR --expect=", 2, "scm: --expect needs a kind of file\n"},
		{"recv ADDR --expect Fifo", 2, "scm: --expect \"Fifo\": the kind is called \"pipe\"\n"},
		{"recv ADDR --timeout 20ms --expect Regular", 2, "scm: --expect \"Regular\": the kind is called \"regular\"\n"},
		{"recv ADDR --timeout 20ms --expect TimerFD", 2, "scm: --expect \"TimerFD\": the kind is called \"timerfd\"\n"},
		{"recv", 2, "scm: recv takes SOCKET, and perhaps -- COMMAND ARG…\n"},
		{"recv ADDR sh", 2, "scm: recv takes SOCKET, and perhaps -- COMMAND ARG…\n"},
		{"recv ADDR --", 2, "scm: recv takes SOCKET, and perhaps -- COMMAND ARG…\n"},
		{"recv -- sh", 2, "scm: recv takes SOCKET, and perhaps -- COMMAND ARG…\n"},
		{"recv ADDR --connect --type dgram", 2, "scm: a datagram socket that connects hears of nobody: no --connect with --type dgram\n"},
		{"recv ADDR --cat --json", 2, "scm: --cat or --json, and not both\n"},
		{"recv ADDR --json -- sh", 2, "scm: a command prints for itself: no --cat or --json with one\n"},
		{"recv ADDR --bytes 0", 2, "scm: --bytes must be from 1 to 1073741824\n"},
		{"recv ADDR --timeout 20ms --bytes 9 --format notify", 2, "scm: a format has room of its own: no --bytes with --format\n"},
		{"recv ADDR --timeout 20ms -- no-such-command", 1, "scm: exec: \"no-such-command\": executable file not found in $PATH\n"},
		{"recv ADDR --timeout 20ms", 1, "scm: timed out after 20ms\n"},
		{"recv ADDR --timeout 20ms --type dgram", 1, "scm: timed out after 20ms\n"},
		{"recv ADDR --timeout 20ms --format notify", 1, "scm: timed out after 20ms\n"},
		{"send ADDR --timeout 20ms --listen", 1, "scm: timed out after 20ms\n"},
		{"send ADDR --timeout 1s", 1, "scm: timed out after 1s: dial unix …/socket: connect: no such file or directory\n"},
	} {
		r := command(t, strings.Fields(strings.ReplaceAll(c.args, "ADDR", addr))...)
		if r.code != c.code || r.stdout != "" || !like(r.stderr, c.stderr) {
			t.Errorf("%s: got %+v, want %d, %q", c.args, r, c.code, c.stderr)
		}
		if _, err := os.Lstat(addr); err == nil {
			t.Errorf("%s: the socket file is left", c.args)
		}
	}

	// A message that is not as wanted.
	for _, c := range []struct {
		recv, send []string
		stderr     string
	}{
		{[]string{"--expect", "socket", addr}, []string{addr, "/dev/null"}, "scm: …character device…\n"},
		{[]string{"--expect", "socket", "--format", "openssh", addr}, []string{"--format", "openssh", addr, "/dev/null"}, "scm: …character device…\n"},
		{[]string{"--type", "dgram", "--bytes", "3", addr}, []string{"--type", "dgram", "--payload", "long", addr}, "scm: the message is longer than 3 bytes: see --bytes\n"},
		{[]string{"--cat", addr}, []string{addr}, "scm: the message came without a descriptor\n"},
		{[]string{"--expect", "regular", addr}, []string{addr}, "scm: the message came without a descriptor\n"},
		{[]string{"--format", "python", addr}, []string{"--payload", "\x02", addr, "/dev/null"}, "scm: …python…\n"},
	} {
		received, sent := meet(t, c.recv, c.send)
		if sent != (result{}) || received.code != 1 || received.stdout != "" || !like(received.stderr, c.stderr) {
			t.Errorf("%v: sent %+v, received %+v", c.recv, sent, received)
		}
	}

	// Of a stream, a receive may bring the first part of what was sent.
	for args, want := range map[string]string{
		"--bytes 4":                  "scm: more bytes wait than recv takes: of a stream, that is what one receive brings (--bytes, or --type seqpacket)\n",
		"--bytes 5":                  "",
		"--bytes 5 --type seqpacket": "",
	} {
		recv := append(strings.Fields(args), addr)
		received, sent := meet(t, recv, append(strings.Fields(args)[2:], addr, "/dev/null", "--payload", "hello"))
		if sent != (result{}) || received.code != 0 || !like(received.stdout, strings.Fields(args)[1]+" bytes \"hell…\", 1 descriptor\n…") || received.stderr != want {
			t.Errorf("%s: sent %+v, received %+v", args, sent, received)
		}
	}
}

// recv --cat reads no signalfd, which would take recv's own signals, and no socket whose
// messages its buffer could truncate. It writes nothing of the files before them.
func TestRecvCatRefuses(t *testing.T) {
	var signals unix.Sigset_t
	signals.Val[0] = 1<<(unix.SIGTERM-1) | 1<<(unix.SIGURG-1)
	signalfd, err := unix.Signalfd(-1, &signals, unix.SFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(signalfd) })
	type refused struct {
		name   string
		fd     int
		stderr string
	}
	cases := []refused{{"signalfd", signalfd, "scm: --cat reads no signalfd: that takes the signals of the process that reads\n"}}
	for name, kind := range map[string]int{"dgram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET} {
		pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeAll(pair[:]) })
		if _, err := unix.Write(pair[1], make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		if err := unix.Shutdown(pair[1], unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, refused{name, pair[0], "scm: --cat reads no socket that keeps messages apart: it could truncate them\n"})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := filepath.Join(t.TempDir(), "socket")
			r := start(t, "recv", "--timeout", "8s", "--cat", addr)
			m := scm.Message{Buffers: [][]byte{{0}}, FDs: []int{opened(t, write(t, "text")), c.fd}}
			if err := scm.Send(dialed(t, addr), &m, 0); err != nil {
				t.Fatal(err)
			}
			if got := r.within(t); got != (result{code: 1, stderr: c.stderr}) {
				t.Errorf("received %.300s", fmt.Sprintf("%+v", got))
			}
		})
	}
}

// recv exits with 1 if the other side connects and sends nothing.
func TestRecvOfNothing(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "socket")
	r := start(t, "recv", patience, addr)
	_ = unix.Shutdown(dialed(t, addr), unix.SHUT_RDWR)
	if got := r.wait(); got != (result{code: 1, stderr: "scm: the other side ended without a message\n"}) {
		t.Errorf("received %+v", got)
	}
}

// recv exits with 4 if it cannot write what it received.
func TestRecvUnwritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range []string{"", "--json", "--cat"} {
		addr := filepath.Join(t.TempDir(), "socket")
		r := &started{cmd: exec.Command(program(t, "scm"), append([]string{"recv", patience, addr}, strings.Fields(args)...)...)}
		r.cmd.Stdout, r.cmd.Stderr = full, &r.stderr
		if err := r.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sent := command(t, "send", patience, addr, write(t, "text"))
		if got := r.wait(); sent != (result{}) || got.code != 4 || !strings.Contains(got.stderr, "no space left on device") {
			t.Errorf("%q: sent %+v, received %+v", args, sent, got)
		}
	}
}

// A signal ends what waits, whatever it waits for, and the socket file goes.
func TestSendAndRecvSignal(t *testing.T) {
	also := maps.Clone(signals)
	also[syscall.SIGQUIT] = "quit"
	for s, name := range also {
		for _, args := range []string{"recv ADDR", "recv ADDR --type dgram", "recv ADDR --format notify", "send ADDR --listen", "recv ADDR --format openssh"} {
			addr := filepath.Join(t.TempDir(), "socket")
			p := start(t, strings.Fields(strings.ReplaceAll(args, "ADDR", addr))...)
			for {
				if _, err := os.Lstat(addr); err == nil {
					break
				}
				if running(fmt.Sprint(p.cmd.Process.Pid)) {
					continue
				}
				t.Fatalf("%s: %+v", args, p.wait())
			}
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if r := p.wait(); r != (result{code: 128 + int(s), stderr: "scm: " + name + "\n"}) {
				t.Errorf("%s, %s: got %+v", args, name, r)
			}
			if _, err := os.Lstat(addr); err == nil {
				t.Errorf("%s, %s: the socket file is left", args, name)
			}
		}
	}
	// ^C is for a whole process group, with the worker of recv in it.
	addr := filepath.Join(t.TempDir(), "socket")
	group := &started{cmd: exec.Command(program(t, "scm"), "recv", addr)}
	group.cmd.Stdout, group.cmd.Stderr = &group.stdout, &group.stderr
	group.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := group.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(addr); err == nil {
			break
		}
	}
	if err := unix.Kill(-group.cmd.Process.Pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := group.wait(); got != (result{code: 130, stderr: "scm: interrupt\n"}) {
		t.Errorf("^C: got %+v", got)
	}
	// One who has connected and says nothing.
	r := start(t, "recv", addr, "--format", "openssh")
	var silent net.Conn
	for silent == nil { // until it listens
		silent, _ = net.Dial("unix", addr)
	}
	defer silent.Close()
	for { // the one connection is accepted when the file has gone
		if _, err := os.Lstat(addr); err != nil {
			break
		}
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(); got.code != 128+int(syscall.SIGTERM) {
		t.Errorf("got %+v", got)
	}
}

// Whoever passes a file chooses its name: it is one word of one line, whatever is in it.
func TestRecvNames(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a\x1b[2J\r\nregular, read, offset 0, \u202epasswd")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	addr := filepath.Join(t.TempDir(), "socket")
	received, sent := meet(t, []string{addr}, []string{addr, name, "/dev/null"})
	want := fmt.Sprintf("1 byte \"\\x00\", 2 descriptors\nregular, read, offset 0, %s\ncharacter device, read, /dev/null\n", strconv.QuoteToASCII(name))
	if sent != (result{}) || received != (result{stdout: want}) {
		t.Errorf("sent %+v, received %+v, want %q", sent, received, want)
	}

	// Servers obey a command anywhere in a line.
	name = filepath.Join(t.TempDir(), "##vso[task.complete]")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	received, sent = meet(t, []string{addr}, []string{"--hex", hex.EncodeToString([]byte("##[error]")), addr, name})
	want = fmt.Sprintf("9 bytes \"#\\x23[error]\", 1 descriptor\nregular, read, offset 0, \"%s\"\n", strings.Replace(name, "##", `#\x23`, 1))
	if sent != (result{}) || received != (result{stdout: want}) {
		t.Errorf("sent %+v, received %+v, want %q", sent, received, want)
	}

	// In JSON too.
	name = filepath.Join(t.TempDir(), "a\u009b2J\u009d\x7f\u202e")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	received, _ = meet(t, []string{"--json", addr}, []string{addr, name})
	for _, c := range received.stdout {
		if c != '\n' && (c < ' ' || c > '~') {
			t.Errorf("received %q", received.stdout)
			break
		}
	}
	var object struct{ Descriptors []struct{ Name string } }
	if err := json.Unmarshal([]byte(received.stdout), &object); err != nil || len(object.Descriptors) != 1 || object.Descriptors[0].Name != name {
		t.Errorf("received %+v: %v", received, err)
	}

	// What is not UTF-8 can be had back.
	name = filepath.Join(t.TempDir(), "a\xff\xfeb")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	received, _ = meet(t, []string{"--json", addr}, []string{addr, name})
	if want := `"name_hex":"` + hex.EncodeToString([]byte(name)) + `"`; !strings.Contains(received.stdout, want) {
		t.Errorf("received %+v, want %s", received, want)
	}
	received, _ = meet(t, []string{addr}, []string{addr, name})
	if want := strconv.QuoteToASCII(name); !strings.Contains(received.stdout, want) {
		t.Errorf("received %+v, want %s", received, want)
	}

	// What a partner says of itself, in an error.
	received, _ = meet(t, []string{"--format", "apue", addr}, []string{"--hex", hex.EncodeToString([]byte("\x1b[2J\nscm: all is well\x00\x02")), addr})
	if received.code != 1 || strings.Contains(received.stderr, "\x1b") || strings.Count(received.stderr, "\n") != 1 {
		t.Errorf("received %+v", received)
	}
}

// What waits for somebody who opens a file, or writes to it, ends with the time.
func TestSendAndRecvTimeout(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	addr := filepath.Join(t.TempDir(), "socket")
	want := result{code: 1, stderr: "scm: timed out after 20ms\n"}
	if r := start(t, "send", "--timeout", "20ms", addr, fifo).within(t); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}

	// A FIFO that has a writer, which writes nothing.
	r := start(t, "recv", "--timeout", "3s", "--cat", addr)
	if sent := command(t, "send", patience, "--mode", "read-write", addr, fifo); sent != (result{}) {
		t.Fatalf("sent %+v", sent)
	}
	if got := r.within(t); got != (result{code: 1, stderr: "scm: timed out after 3s\n"}) {
		t.Errorf("got %+v", got)
	}
}

// opened is the number of a file, which is open until the test ends.
func opened(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// within waits, but not for ever.
func (s *started) within(t *testing.T) result {
	t.Helper()
	kill := time.AfterFunc(2*time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	return s.wait()
}

// A partner that serves a file system does not answer: recv ends all the same, and says
// what it can.
func TestRecvSilentFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent uint32
		args   []string
		code   int
		stdout string // a part of it
		stderr string
	}{
		{"its attributes", fusetest.Getattr, []string{"--timeout", "1m"}, 0, "regular, read, offset 0, ", ""},
		{"its close", fusetest.Flush, []string{"--timeout", "1m"}, 0, "regular, read, offset 0, ", ""},
		{"the close of one that is refused", fusetest.Flush, []string{"--timeout", "8s", "--expect", "pipe"}, 1, "", "scm: timed out after 8s\n"},
		{"its bytes", fusetest.Read, []string{"--timeout", "8s", "--cat"}, 1, "", "scm: timed out after 8s\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			server := fusetest.Mount(t, fusetest.Options{Flush: true})
			fd := opened(t, server.File)
			t.Cleanup(server.Release) // before the close, of which the server hears
			addr := filepath.Join(t.TempDir(), "socket")
			r := start(t, append([]string{"recv", addr}, c.args...)...)
			pass := dialed(t, addr)
			server.Hush(c.silent) // whoever starts a process closes the file in it
			if err := scm.Send(pass, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{fd}}, 0); err != nil {
				t.Fatal(err)
			}
			got := r.within(t)
			if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || got.stderr != c.stderr {
				t.Errorf("received %+v", got)
			}
		})
	}
}

// A partner passes a TCP connection whose other end reads nothing, with SO_LINGER: close(2)
// would wait for that time. Neither recv nor send waits.
func TestLingeringSocket(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string // its beginning
		stderr string
	}{
		{"received", nil, 0, "1 byte \"\\x00\", 1 descriptor\nsocket, read-write, ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := filepath.Join(t.TempDir(), "socket")
			r := start(t, append([]string{"recv", "--timeout", "20s", addr}, c.args...)...)
			passLingering(t, dialed(t, addr))
			got := r.within(t)
			if got.code != c.code || !strings.HasPrefix(got.stdout, c.stdout) || got.stderr != c.stderr {
				t.Errorf("received %+v", got)
			}
		})
	}
	t.Run("in the queue of one who sends", func(t *testing.T) {
		addr := filepath.Join(t.TempDir(), "socket")
		s := start(t, "send", "--listen", "--timeout", "20s", addr)
		for end := time.Now().Add(time.Minute); !listens(t, addr); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nobody listens")
			}
		}
		// It has the message in its queue before it accepts the connection.
		if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		var status unix.WaitStatus
		if _, err := again(func() (int, error) { return unix.Wait4(s.cmd.Process.Pid, &status, unix.WUNTRACED, nil) }); err != nil || !status.Stopped() {
			t.Fatal(err, status)
		}
		passLingering(t, dialed(t, addr))
		if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if sent := s.within(t); sent != (result{}) {
			t.Errorf("sent %+v", sent)
		}
	})
}

// listens reports whether a socket listens at addr: bind makes the file, and listen comes
// after it.
func listens(t *testing.T, addr string) bool {
	t.Helper()
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sockets)) {
		// Num, RefCount, Protocol, Flags, Type, St, Inode, Path
		const acceptcon = "00010000"
		if f := strings.Fields(line); len(f) == 8 && f[3] == acceptcon && f[7] == addr {
			return true
		}
	}
	return false
}

// passLingering sends a TCP connection that has bytes to send, and whose close(2) waits
// for that for a minute. It closes its own descriptor, which waits for nothing: the
// message has another one.
func passLingering(t *testing.T, sock int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("there is no TCP here: ", err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept() // reads nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() }) // ends who waits
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	defer file.Close()
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = again(func() (int, error) { return unix.Write(fd, make([]byte, 1<<16)) })
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
		t.Fatal(err)
	}
	if err := scm.Send(sock, &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{fd}}, 0); err != nil {
		t.Fatal(err)
	}
}

// dialed is the number of a socket that is connected to one who is about to listen.
func dialed(t *testing.T, addr string) int {
	t.Helper()
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(sock) })
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := unix.Connect(sock, &unix.SockaddrUnix{Name: addr})
		if err == nil {
			return sock
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// The runtime waits by an epoll of its own, from the start if standard input does not
// block. A partner's epoll never takes its place: its data would be the runtime's pointers.
func TestRecvCommandEpoll(t *testing.T) {
	strace := tool(t, "strace")
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	input, ready := os.NewFile(uintptr(p[0]), "input"), p[1]
	defer input.Close()
	defer unix.Close(ready)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, ready, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: 0x41410000, Pad: 0x4141}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, inject string
		code         int
		stderr       string // a part of it
	}{
		{"in time", "inject=execve:delay_enter=300000", 0, ""},
		{"without a table of its own", "inject=unshare:error=EPERM", 1, "is the runtime's own: is standard input, output or error non-blocking, or GODEBUG=containermaxprocs=1 set?\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := filepath.Join(t.TempDir(), "socket")
			r := &started{cmd: exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve,unshare", "-e", c.inject,
				program(t, "scm"), "recv", patience, addr, "--", "/bin/true")}
			r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = input, &r.stdout, &r.stderr
			if err := r.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			m := scm.Message{Buffers: [][]byte{{0}}, FDs: slices.Repeat([]int{epoll}, 6)}
			if err := scm.Send(dialed(t, addr), &m, 0); err != nil {
				t.Fatal(err)
			}
			if got := r.wait(); got.code != c.code || !strings.HasSuffix(got.stderr, c.stderr) || c.code == 0 && got.stderr != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Without a table of its own, as where a container's seccomp filter refuses unshare(2),
// scm gives a command its files all the same: Go's runtime keeps no file of a cgroup open.
func TestRecvCommandWithoutTable(t *testing.T) {
	strace := tool(t, "strace")
	addr := filepath.Join(t.TempDir(), "socket")
	r := &started{cmd: exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=unshare", "-e", "inject=unshare:error=EPERM",
		program(t, "scm"), "recv", patience, addr, "--", "/bin/sh", "-c", `cat <&3; echo "$LISTEN_FDS ${GODEBUG-}"`)}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	r.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GODEBUG=") })
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := scm.Message{Buffers: [][]byte{{0}}, FDs: []int{opened(t, write(t, "text\n"))}}
	if err := scm.Send(dialed(t, addr), &m, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(); got != (result{stdout: "text\n1 \n"}) {
		t.Errorf("got %+v", got)
	}
}

// recv describes a file also where a system call is refused that it can do without.
func TestRecvRefusedCalls(t *testing.T) {
	strace := tool(t, "strace")
	for _, c := range []struct{ name, call, inject, want string }{
		{"by a filter that does not know statx", "statx", "statx:error=EPERM", "regular, read, offset 0, "},
		{"as of a dma-buf", "/lseek", "/lseek:error=EINVAL", "regular, read, "},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, file := filepath.Join(t.TempDir(), "socket"), write(t, "text")
			r := &started{cmd: exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+c.call, "-e", "inject="+c.inject,
				program(t, "scm"), "recv", patience, addr)}
			r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
			if err := r.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if err := scm.Send(dialed(t, addr), &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{opened(t, file)}}, 0); err != nil {
				t.Fatal(err)
			}
			if got := r.within(t); got != (result{stdout: "1 byte \"\\x00\", 1 descriptor\n" + c.want + file + "\n"}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A worker that somebody stopped does not hold up the end by a signal.
func TestRecvStoppedWorker(t *testing.T) {
	needsChildren(t)
	addr := filepath.Join(t.TempDir(), "socket")
	r := start(t, "recv", addr)
	dialed(t, addr)
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	worker := 0
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			_, _ = fmt.Sscan(string(text), &worker)
		}
	}
	if worker == 0 {
		t.Fatal("there is no worker")
	}
	if err := unix.Kill(worker, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(worker, unix.SIGKILL) }()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.cmd.WaitDelay = time.Second // the worker has the output open
	if got := r.within(t); got.code != 128+int(unix.SIGTERM) {
		t.Errorf("got %+v", got)
	}
}

// A regular file that cannot seek has no offset.
func TestRecvNoSeek(t *testing.T) {
	path := fusetest.Mount(t, fusetest.Options{OpenFlags: fusetest.NoSeek}).File
	if _, err := unix.Seek(opened(t, path), 0, io.SeekCurrent); err != unix.ESPIPE {
		t.Fatalf("seek: %v", err)
	}
	addr := filepath.Join(t.TempDir(), "socket")
	received, sent := meet(t, []string{addr}, []string{addr, path})
	if want := "1 byte \"\\x00\", 1 descriptor\nregular, read, " + path + "\n"; sent != (result{}) || received != (result{stdout: want}) {
		t.Errorf("sent %+v, received %+v, want %q", sent, received, want)
	}
}

// statx(2) of a FUSE file is EACCES for every user but the one who mounted it.
func TestRecvFUSEOfAnother(t *testing.T) {
	fd := opened(t, fusetest.Mount(t, fusetest.Options{}).File)
	for _, c := range []struct {
		args   []string
		code   int
		stdout string // a part of it
		stderr string
	}{
		{nil, 0, "\nunknown, read, ", ""},
		{[]string{"--json"}, 0, `"kind":"unknown","access":"read"`, ""},
		{[]string{"--expect", "regular"}, 1, "", "wanted a regular file, got a file of no known kind"},
	} {
		addr := fmt.Sprintf("@scm-test-%d-fuse", os.Getpid())
		r := &started{cmd: exec.Command(program(t, "scm"), append([]string{"recv", patience, addr}, c.args...)...)}
		r.cmd.Stdout, r.cmd.Stderr, r.cmd.Dir = &r.stdout, &r.stderr, "/"
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := r.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := scm.Send(dialed(t, addr), &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{fd}}, 0); err != nil {
			t.Error(err)
		}
		if got := r.within(t); got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%v: received %+v", c.args, got)
		}
	}
}

// Room that no machine has is wrong usage.
func TestRecvRefusesRoomBeyondMeasure(t *testing.T) {
	for _, bytes := range []string{"0", "-1", "1073741825", "9223372036854775807"} {
		if r := limited(t, "recv", "--bytes", bytes, filepath.Join(t.TempDir(), "s")); r.code != 2 || r.stderr != "scm: --bytes must be from 1 to 1073741824\n" {
			t.Errorf("%s: got %.1000s", bytes, fmt.Sprintf("%+v", r))
		}
	}
}

// An error of the library says itself whose it is.
func TestPrintErrorNamesTheProgramOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stderr := os.Stderr
	os.Stderr = w
	printError(scm.ErrNotUnix)
	os.Stderr = stderr
	_ = w.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != scm.ErrNotUnix.Error()+"\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// What is printed of a file is a kind that --expect takes, and never an empty word.
func TestDescribedKindIsExpected(t *testing.T) {
	open := func(name string, flags int) int {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Skip("this file cannot be opened here:", err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	for _, c := range []struct {
		name         string
		flags        int
		kind, access string
	}{
		{"/proc/self/ns/net", unix.O_RDONLY, "net", "read"},
		{"/proc/self/ns/mnt", unix.O_RDONLY, "mnt", "read"},
		{"/proc/self/exe", unix.O_RDONLY, "regular", "read"},
		{"/dev/null", unix.O_ACCMODE, "character device", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fd := open(c.name, c.flags)
			f, err := describe(fd)
			if err != nil || f.Kind != c.kind || f.Access != c.access {
				t.Errorf("%+v, %v; want %s, %s", f, err, c.kind, c.access)
			}
			own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			expect := scm.Expect{Min: 1, Max: 1, Kind: scm.Kind(f.Kind), Access: "any"}
			if err := expect.Check([]int{own}); err != nil { // which closes it
				t.Error(err)
				return
			}
			_ = unix.Close(own)
		})
	}
}
