package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/interop/witness"
	"github.com/scm-rights/scm/wire"
)

// timeout is more time than the other side needs to connect.
const timeout = "--timeout=1m"

// started is a command that runs in the background.
type started struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{t: t, cmd: exec.Command(program(t, "scm"), args...)}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = &s.stdout, &s.stderr, t.TempDir()
	fdtest.Must(t, s.cmd.Start())
	return s
}

// wait waits for the command to end, or until killLate kills it.
func (s *started) wait() result {
	defer killLate(s.t, s.cmd)()
	_ = s.cmd.Wait() // the result contains the exit status
	return result{s.cmd.ProcessState.ExitCode(), s.stdout.String(), s.stderr.String()}
}

// transfer runs recv in the background, and send.
func transfer(t *testing.T, recv, send []string) (received, sent result) {
	t.Helper()
	r := start(t, append([]string{"recv", timeout}, recv...)...)
	sent = command(t, append([]string{"send", timeout}, send...)...)
	return r.wait(), sent
}

// sendOpen sends an open file.
func sendOpen(t *testing.T, addr string, file *os.File) {
	t.Helper()
	cmd := exec.Command(program(t, "scm"), "send", timeout, addr, "--fd", "3")
	cmd.ExtraFiles = []*os.File{file}
	ends(t, result{}, cmd)
}

// await waits until a file exists, or until it does not.
func await(t *testing.T, file string, exists bool) {
	t.Helper()
	fdtest.Eventually(t, fmt.Sprintf("%s: exists=%v", file, exists), func() bool {
		_, err := os.Lstat(file)
		return (err == nil) == exists
	})
}

func TestSendAndRecv(t *testing.T) {
	text := write(t, "0123456789")
	for _, kind := range []string{"stream", "dgram", "seqpacket"} {
		for _, addr := range []string{filepath.Join(fdtest.ShortDir(t), "socket"), fmt.Sprintf("@scm-test-%d-%s", os.Getpid(), kind)} {
			received, sent := transfer(t, []string{"--type", kind, addr}, []string{"--type", kind, addr, text, "/dev/null", "/"})
			want := "1 byte \"\\x00\", 3 descriptors\nregular, read, offset 0, " + text + "\ncharacter device, read, /dev/null\ndirectory, read, /\n"
			if sent != (result{}) || received != (result{stdout: want}) {
				t.Errorf("%s, %s: sent %+v, received %+v", kind, addr, sent, received)
			}
			if _, err := os.Lstat(addr); err == nil {
				t.Errorf("%s still exists", addr)
			}
		}
	}
	// The sender can create the socket.
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	for _, kind := range []string{"stream", "seqpacket"} {
		s := start(t, "send", "--listen", timeout, "--type", kind, "--mode", "append", "--hex", "00ff", addr, write(t, ""))
		r := command(t, "recv", "--connect", timeout, "--type", kind, addr)
		want := "2 bytes \"\\x00\\xff\", 1 descriptor\nregular, write, offset 0, /"
		if sent := s.wait(); sent != (result{}) || r.code != 0 || !strings.HasPrefix(r.stdout, want) {
			t.Errorf("%s: sent %+v, received %+v", kind, sent, r)
		}
	}
}

// The open file is sent, not its name. The receiver continues to read where the sender stopped.
func TestInheritedDescriptor(t *testing.T) {
	file, err := os.Open(write(t, "0123456789"))
	fdtest.Must(t, err)
	defer file.Close()
	if _, err := file.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	r := start(t, "recv", timeout, "--cat", addr)
	sendOpen(t, addr, file)
	if got := r.wait(); got != (result{stdout: "456789"}) {
		t.Errorf("received %+v", got)
	}
}

// send and recv can use a connected socket that they inherit, and leave it blocking.
func TestInheritedSocket(t *testing.T) {
	file := write(t, "contents")
	text := "1 byte \"\\x00\", 1 descriptor\nregular, read, offset 0, " + file + "\n"
	for _, c := range []struct {
		typ        int
		send, recv string // the arguments after SOCKET and FILE
		stdout     string
	}{
		{unix.SOCK_STREAM, "", "", text},
		{unix.SOCK_DGRAM, "", "", text},
		{unix.SOCK_SEQPACKET, "--type seqpacket", "--type seqpacket", text},
		{unix.SOCK_STREAM, "--format openssh", "--cat --format openssh", "contents"},
		{unix.SOCK_SEQPACKET, "--format gvisor", "--cat --format gvisor", "contents"},
		{unix.SOCK_STREAM, "", "-- cat /proc/self/fd/3", "contents"},
	} {
		pair, err := unix.Socketpair(unix.AF_UNIX, c.typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("socket type %d: %v", c.typ, err)
		}
		run := func(end int, args string) result {
			cmd := exec.Command(program(t, "scm"), strings.Fields(args)...)
			socket := os.NewFile(uintptr(end), "socket")
			defer socket.Close()
			cmd.ExtraFiles = []*os.File{socket}
			r := finish(t, cmd)
			if flags, err := unix.FcntlInt(uintptr(end), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("scm %s leaves the socket non-blocking: %#x, %v", args, flags, err)
			}
			return r
		}
		sent := run(pair[0], "send fd:3 "+file+" "+c.send)
		received := run(pair[1], "recv fd:3 "+c.recv)
		if sent != (result{}) || received != (result{stdout: c.stdout}) {
			t.Errorf("%+v: sent %+v, received %+v", c, sent, received)
		}
	}
}

// Wrong sockets are reported.
func TestInheritedSocketRejected(t *testing.T) {
	pair := socketPair(unix.SOCK_SEQPACKET)
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: filepath.Join(fdtest.ShortDir(t), "socket")}), unix.Listen(listener, 1))
	}
	fdtest.Must(t, err)
	var files []*os.File
	for _, fd := range append(pair[:], listener) { // 3, 4 and 5
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		files = append(files, f)
	}
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"send fd:", 2, "SOCKET \"fd:\" is not fd:N (for a path, write ./fd:)"},
		{"recv fd:-1", 2, "SOCKET \"fd:-1\" is not fd:N (for a path, write ./fd:-1)"},
		{"recv fd:99999999999", 2, "SOCKET \"fd:99999999999\" is not fd:N (for a path, write ./fd:99999999999)"},
		{"send fd:3 --listen", 2, "--listen cannot be used with SOCKET fd:3"},
		{"recv fd:3 --connect", 2, "--connect cannot be used with SOCKET fd:3"},
		{"send fd:900", 1, "descriptor 900 was not inherited"},
		{"send fd:0", 1, "descriptor 0: …not a Unix socket…"},
		{"send fd:3 --type stream", 1, "descriptor 3 is a seqpacket socket, not stream"},
		{"recv fd:3 --format openssh", 1, "descriptor 3 is a seqpacket socket, not stream"},
		{"recv fd:5", 1, "descriptor 5 is a listening socket, not a connected one"},
		{"recv fd:4 --timeout 20ms", 1, "timed out after 20ms"},
	} {
		cmd := exec.Command(program(t, "scm"), strings.Fields(c.args)...)
		cmd.ExtraFiles = files
		check(t, c.args, finish(t, cmd), result{c.code, "", "scm: " + c.stderr + "\n"})
	}
}

// A ProxyCommand of ssh sends its connection as the help text says.
func TestSendToSSH(t *testing.T) {
	ssh := fdtest.Program(t, "ssh")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fdtest.Must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	fdtest.Must(t, err)
	proxy := "bash -c 'exec 3<>/dev/tcp/%h/%p; exec " + program(t, "scm") + " send --format openssh fd:1 --fd 3'"
	cmd := exec.Command(ssh, "-F", "none", "-o", "BatchMode=yes", "-o", "ProxyUseFdpass=yes", "-o", "ProxyCommand="+proxy, "-p", port, "127.0.0.1")
	greeting := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			greeting <- err.Error()
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n') // an error leaves it empty
		greeting <- line
	}()
	r := finish(t, cmd) // ssh fails when the connection is closed
	_ = l.Close()
	if line := <-greeting; !strings.HasPrefix(line, "SSH-2.0-") || r.code != 255 {
		t.Errorf("got %q; ssh: %+v", line, r)
	}
}

// libfuse receives what a mount helper sends over _FUSE_COMMFD as the help text says.
func TestSendAsMountHelper(t *testing.T) {
	pair := socketPair(unix.SOCK_STREAM)
	socket, end := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "other end")
	defer socket.Close()
	defer end.Close()
	device, err := os.Open(os.DevNull)
	fdtest.Must(t, err)
	defer device.Close()
	cmd := exec.Command("sh", "-c", "exec "+program(t, "scm")+" send --format fusermount fd:$_FUSE_COMMFD --fd 3")
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=4")
	cmd.ExtraFiles = []*os.File{device, socket}
	if r := finish(t, cmd); r != (result{}) {
		t.Fatalf("sent %+v", r)
	}
	text, fds, err := wire.Fusermount.Recv(wire.FD(pair[1]))
	defer scm.CloseFDs(fds...)
	if err != nil || text != "" || len(fds) != 1 || !fdtest.Same(fds[0], int(device.Fd())) {
		t.Errorf("got %q, %v, %v", text, fds, err)
	}
}

// The sender can set O_NONBLOCK while scm reads.
func TestRecvCatWaits(t *testing.T) {
	r, w := blockingPipe(t)
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	recv := exec.Command(program(t, "scm"), "recv", "--cat", addr)
	stdout, err := recv.StdoutPipe()
	fdtest.Must(t, err)
	var stderr bytes.Buffer
	recv.Stderr = &stderr
	fdtest.Must(t, recv.Start())
	defer killLate(t, recv)()
	sendOpen(t, addr, r)
	p := make([]byte, 1)
	for i, text := range []string{"a", "b", "c"} {
		if _, err := w.WriteString(text); err != nil {
			t.Fatalf("write %q: %v", text, err)
		}
		if _, err := io.ReadFull(stdout, p); err != nil || string(p) != text {
			t.Errorf("read %q, %v, want %q: %s", p, err, text, &stderr)
			break
		}
		fdtest.Eventually(t, "recv waits", func() bool {
			asleep, err := witness.Sleeps(recv.Process.Pid)
			return asleep || err != nil // it has failed
		})
		if i == 0 {
			fdtest.Must(t, unix.SetNonblock(int(r.Fd()), true))
		}
	}
	_ = w.Close()
	if rest, err := io.ReadAll(stdout); len(rest) > 0 || err != nil {
		t.Errorf("after the end of the pipe: read %q, %v; want nothing", rest, err)
	}
	if err := recv.Wait(); err != nil {
		t.Errorf("recv ended with %v: %s", err, &stderr)
	}
}

// blockingPipe returns a pipe as a C program creates it.
func blockingPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	fdtest.Must(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close() // it may be closed already
	})
	return r, w
}

// A descriptor is one in the JSON output of recv.
type descriptor struct {
	Kind, Access, Name, Family, Type, Protocol string

	Listening bool
	Offset    *int64
	Hex       string `json:"name_hex"`
}

// text returns the descriptor of a socket as recv prints it without --json.
func (d descriptor) text() string {
	words := []string{d.Kind, d.Access, d.Family, d.Type, d.Protocol}
	if d.Listening {
		words = append(words, "listening")
	}
	words = append(words, d.Name)
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// recv prints the family, type and protocol of a socket, and whether it is listening.
func TestRecvSocket(t *testing.T) {
	for _, c := range []struct {
		family, typ, protocol int
		text                  string
	}{
		{unix.AF_UNIX, unix.SOCK_DGRAM, 0, "socket, read-write, Unix, datagram, socket:[…]"},
		{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0, "socket, read-write, Unix, seqpacket, listening, socket:[…]"},
		{unix.AF_INET, unix.SOCK_DGRAM, 0, "socket, read-write, IPv4, datagram, udp, socket:[…]"},
		{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, "socket, read-write, IPv4, stream, mptcp, listening, socket:[…]"},
		{unix.AF_INET6, unix.SOCK_STREAM, 0, "socket, read-write, IPv6, stream, tcp, socket:[…]"},
		{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT, "socket, read-write, netlink, raw, protocol 15, socket:[…]"},
		{unix.AF_UNIX, unix.SOCK_STREAM, 0, "socket, path, socket:[…]"},
	} {
		t.Run(c.text, func(t *testing.T) {
			fd, err := unix.Socket(c.family, c.typ|unix.SOCK_CLOEXEC, c.protocol)
			if err != nil {
				t.Skip("this kernel does not support the socket: ", err)
			}
			if strings.Contains(c.text, ", path,") {
				defer unix.Close(fd)
				fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_PATH|unix.O_CLOEXEC, 0)
			} else if strings.Contains(c.text, ", listening,") {
				if c.family == unix.AF_UNIX {
					err = unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(fdtest.ShortDir(t), "listener")})
				}
				err = errors.Join(err, unix.Listen(fd, 1))
			}
			fdtest.Must(t, err)
			sent := os.NewFile(uintptr(fd), "sent")
			defer sent.Close()
			receive := func(args ...string) result {
				addr := filepath.Join(fdtest.ShortDir(t), "socket")
				r := start(t, append([]string{"recv", timeout, addr}, args...)...)
				sendOpen(t, addr, sent)
				return r.wait()
			}
			if r := receive(); r.code != 0 || r.stderr != "" || !like(r.stdout, "1 byte \"\\x00\", 1 descriptor\n"+c.text+"\n") {
				t.Errorf("received %+v", r)
			}
			r := receive("--json")
			var object struct{ Descriptors []descriptor }
			err = json.Unmarshal([]byte(r.stdout), &object)
			if err != nil || len(object.Descriptors) != 1 || !like(object.Descriptors[0].text(), c.text) {
				t.Errorf("received %+v: %v", r, err)
			}
		})
	}
}

// The server of a FUSE file decides when poll(2) returns. If scm blocked in poll, neither a timeout nor SIGKILL could
// end it.
func TestRecvCommandWithSilentFUSEServer(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	server.Hush(fusetest.Poll)
	fd, err := unix.Open(server.File, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	file, err := scm.NewFile(fd, "silent")
	fdtest.Must(t, err)
	defer file.Close()
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	r := start(t, "recv", timeout, addr, "--", "readlink", "/proc/self/fd/3")
	sendOpen(t, addr, file)
	received := make(chan result, 1)
	go func() { received <- r.wait() }()
	select {
	case got := <-received:
		if got != (result{stdout: server.File + "\n"}) {
			t.Errorf("received %+v", got)
		}
	case <-server.Waiting:
		server.Release()
		t.Errorf("scm polls the file; after the server answered, it ended with %+v", <-received)
	}
}

// COMMAND gets the files from descriptor 3 on, and the environment variables of systemd. Its exit status becomes that
// of scm.
func TestRecvCommand(t *testing.T) {
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	a, b := write(t, "of a\n"), write(t, "of b\n")
	t.Setenv("LISTEN_PIDFDID", "1") // left over from the process that started scm
	many, all := []string{addr}, ""
	for i := range 253 {
		many = append(many, write(t, fmt.Sprintf("%d\n", i)))
		all += fmt.Sprintf("%d\n", i)
	}
	children, err := exec.Command("/bin/ls", "/proc/self/fd").Output()
	fdtest.Must(t, err)
	open := append(strings.Fields(string(children)), "4") // without a file, 3 is the descriptor of the directory
	slices.Sort(open)
	script := write(t, `echo "$0 $1"; test "$LISTEN_PID" = $$ && cat <&3; exit 3`)
	fdtest.Must(t, os.Chmod(script, 0o755))
	for _, c := range []struct {
		what    string
		command []string
		send    []string
		want    result
	}{
		{"three files", []string{"sh", "-c", `test "$LISTEN_PID" = $$ && echo "$LISTEN_FDS $LISTEN_FDNAMES$LISTEN_PIDFDID"; cat <&4; cat <&3; exit 7`},
			[]string{addr, a, b, "/"}, result{7, "3 file:file:/\nof b\nof a\n", ""}},
		{"as many as there can be", []string{"/bin/bash", "-c", `for ((i = 3; i < 3 + LISTEN_FDS; i++)); do cat <&$i; done`}, many, result{0, all, ""}},
		{"nothing else", []string{"sh", "-c", "ls /proc/self/fd | sort"}, []string{addr, a}, result{0, strings.Join(open, "\n") + "\n", ""}},
		{"a signal of its own", []string{"sh", "-c", `kill -KILL $$`}, []string{addr, a}, result{-1, "", ""}},
		{"a script without #!", []string{script, "an argument"}, []string{addr, a}, result{3, script + " an argument\nof a\n", ""}},
		{"no file", []string{"/bin/true"}, []string{addr}, result{1, "", "scm: the message contained no descriptor\n"}},
	} {
		received, sent := transfer(t, append([]string{addr, "--"}, c.command...), c.send)
		if sent != (result{}) || received != c.want {
			t.Errorf("%s: sent %+v, received %+v", c.what, sent, received)
		}
	}
}

// COMMAND gets all variables of scm's environment, whatever their names, except for those of systemd.
func TestRecvCommandEnvironment(t *testing.T) {
	file, addr := write(t, ""), filepath.Join(fdtest.ShortDir(t), "socket")
	env := []string{"spring.mail.host=a", "BASH_FUNC_f%%=() { :; }", "LISTEN_ADDR=:80", "LISTEN_=", "IFS=x", "OPTIND=7", "PS4=y", "PWD=/nowhere", "a=b=c"}
	r := exec.Command(program(t, "scm"), "recv", timeout, addr, "--", "/usr/bin/env")
	r.Env = append(env, "LISTEN_PID=1", "LISTEN_FDS=9", "LISTEN_FDNAMES=a:b", "LISTEN_PIDFDID=1")
	sent := start(t, "send", timeout, addr, file)
	got := finish(t, r)
	lines := slices.DeleteFunc(strings.Split(got.stdout, "\n"), func(l string) bool { return strings.HasPrefix(l, "LISTEN_PID=") || l == "" })
	want := append(env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+filepath.Base(file))
	slices.Sort(lines)
	slices.Sort(want)
	if s := sent.wait(); s != (result{}) || got.code != 0 || !slices.Equal(lines, want) {
		t.Errorf("sent %+v, received %+v\ngot  %q\nwant %q", s, got, lines, want)
	}
}

// recv needs neither /proc nor a shell, and neither does a COMMAND.
func TestRecvInEmptyRoot(t *testing.T) {
	fdtest.NeedRoot(t, "call chroot(2)")
	root := fdtest.ShortDir(t) // where program builds, so that a link is possible
	for _, name := range []string{"scm", "listenfds"} {
		fdtest.Must(t, os.Link(program(t, name), filepath.Join(root, name)))
	}
	for args, want := range map[string]string{
		"-- /listenfds": "3 …:…:…\ncontents",
		"":              "1 byte \"\\x00\", 3 descriptors\n…, read…\n…, read…\n…, read…\n",
		"--json":        "{…}\n",
	} {
		r := exec.Command("/scm", append([]string{"recv", timeout, "/socket"}, strings.Fields(args)...)...)
		r.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		r.Dir = "/"
		addr := filepath.Join(root, "socket")
		sent := start(t, "send", timeout, addr, write(t, "contents"), "/", "/dev/null")
		got := finish(t, r)
		if s := sent.wait(); s != (result{}) || !like(got.stdout, want) || got.stderr != "" || got.code != 0 {
			t.Errorf("%s: sent %+v, received %+v", args, s, got)
		}
	}
}

// recv understands what send sends in each format. If the format has a place for the name of the file, send fills it
// in.
func TestSendFormats(t *testing.T) {
	file := write(t, "")
	for _, f := range wire.Formats() {
		addr := filepath.Join(fdtest.ShortDir(t), "socket")
		send := []string{"--format", f.Name(), addr, file}
		want := "0 bytes, 1 descriptor\n"
		switch f.Name() {
		case "runc", "conmon":
			want = fmt.Sprintf("%d bytes %q, 1 descriptor\n", len(file), file)
			if len(file) > 64 {
				want = fmt.Sprintf("%d bytes %q…, 1 descriptor\n", len(file), file[:64])
			}
		case "notify":
			send, want = append(send, "--payload", "FDSTORE=1"), "9 bytes \"FDSTORE=1\", 1 descriptor\n"
		case "qmp", "seccomp-listener":
			payload := `{"fds":["a"]}`
			send, want = append(send, "--payload", payload), fmt.Sprintf("%d bytes %q, 1 descriptor\n", len(payload), payload)
		case "skalibs-ancil":
			send, want = append(send, "--payload", "|"), "1 byte \"|\", 1 descriptor\n"
		}
		received, sent := transfer(t, []string{"--format", f.Name(), "--expect", "regular", addr}, send)
		if sent != (result{}) || received.code != 0 || received.stdout != want+"regular, read, offset 0, "+file+"\n" {
			t.Errorf("%s: sent %+v, received %+v", f.Name(), sent, received)
		}
	}
}

// Wrong input is reported, and no socket file is left.
func TestSendAndRecvReject(t *testing.T) {
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"send", 2, "scm: SOCKET is missing\nusage: scm send SOCKET [FILE…] [flags]\nhelp:  scm send --help\n"},
		{"send ADDR /nonexistent", 1, "scm: open /nonexistent: no such file or directory\n"},
		{"send ADDR /etc/passwd", 1, "scm: dial unix …/socket: connect: no such file or directory: no process listens there (use --timeout to wait for one)\n"},
		{"send ADDR --type raw", 2, "scm: unknown --type \"raw\": use stream, dgram or seqpacket\n"},
		{"send ADDR --format morse", 2, "scm: unknown --format \"morse\": use …\n"},
		{"send ADDR --format gvisor --type stream", 2, "scm: --type stream cannot be used with --format gvisor\n"},
		// this descriptor would be created for the file
		{"send ADDR /etc/passwd --fd 3", 1, "scm: descriptor 3 was not inherited\n"},
		{"send ADDR --hex 0", 2, "scm: --hex: encoding/hex: odd length hex string\n"},
		{"send ADDR --hex 00 --payload a", 2, "scm: if any flags in the group [payload hex] are set none of the others can be; …\n"},
		{"send ADDR --mode execute", 2, "scm: --mode must be read, write, read-write or append, not \"execute\"\n"},
		{"send ADDR --listen --type dgram", 2, "scm: --listen cannot be used with --type dgram\n"},
		{"send ADDR --timeout -1s", 2, "scm: --timeout must not be negative\n"},
		{"send ADDR /etc/passwd --payload=", 2, "scm: the payload is empty, but a stream socket needs at least one byte\n"},
		{"send ADDR" + strings.Repeat(" /dev/null", 253) + " --fd 0", 2, "scm: 254 files are too many: a message can carry at most 253\n"},
		{"send ADDR /etc/passwd /etc/group --format runc", 2, "scm: wire: runc: cannot send 2 descriptors: the format requires 1\n"},
		{"send @ /etc/passwd", 2, "scm: SOCKET \"@\" has no name\n"},
		{"send ADDR --timeout 20ms --listen", 1, "scm: timed out after 20ms\n"},
		{"send ADDR --timeout 1s", 1, "scm: timed out after 1s: dial unix …/socket: connect: no such file or directory\n"},
		{"send ADDR --timeout 20ms FIFO", 1, "scm: timed out after 20ms\n"},
		{"recv @", 2, "scm: SOCKET \"@\" has no name\n"},
		{"recv ADDR --expect=", 2, "scm: --expect \"\": unknown kind of file; use …\n"},
		{"recv ADDR --expect Fifo", 2, "scm: --expect \"Fifo\": unknown kind of file; use regular, directory, …pipe, …\n"},
		{"recv ADDR sh", 2, "scm: COMMAND must follow SOCKET and --\nusage: scm recv SOCKET [flags] [-- COMMAND ARG…]\n…"},
		{"recv ADDR ls -l", 2, "scm: unknown shorthand flag: 'l' in -l\nusage: scm recv SOCKET [flags] [-- COMMAND ARG…]\n…"},
		{"recv", 2, "scm: SOCKET is missing\nusage: …"},
		{"recv ADDR --", 2, "scm: COMMAND is missing after --\nusage: …"},
		{"recv -- sh", 2, "scm: SOCKET is missing\nusage: …"},
		{"recv ADDR --connect --type dgram", 2, "scm: --connect cannot be used with --type dgram\n"},
		{"recv ADDR --cat --json", 2, "scm: if any flags in the group [cat json] are set none of the others can be; …\n"},
		{"recv ADDR --json -- sh", 2, "scm: --cat and --json cannot be used with COMMAND\n"},
		{"recv ADDR --bytes 0", 2, "scm: --bytes must be between 1 and 1073741824\n"},
		{"recv ADDR --bytes 9 --format notify", 2, "scm: if any flags in the group [bytes format] are set none of the others can be; …\n"},
		{"recv ADDR -- no-such-command", 1, "scm: exec: \"no-such-command\": executable file not found in $PATH\n"},
		{"recv ADDR --timeout 20ms", 1, "scm: timed out after 20ms\n"},
		{"recv ADDR --timeout 20ms --type dgram", 1, "scm: timed out after 20ms\n"},
		{"recv ADDR --timeout 20ms --format notify", 1, "scm: timed out after 20ms\n"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "ADDR", addr))
		if i := slices.Index(args, "FIFO"); i > 0 {
			args[i] = fifo(t, "fifo")
		}
		check(t, c.args, command(t, args...), result{c.code, "", c.stderr})
		if _, err := os.Lstat(addr); err == nil {
			t.Errorf("%s: the socket file still exists", c.args)
		}
	}

	// A message that recv rejects.
	for _, c := range []struct {
		recv, send []string
		stderr     string
	}{
		{[]string{"--expect", "socket", addr}, []string{addr, "/dev/null"}, "scm: …character device…\n"},
		{[]string{"--expect", "socket", "--format", "openssh", addr}, []string{"--format", "openssh", addr, "/dev/null"}, "scm: …character device…\n"},
		{[]string{"--type", "dgram", "--bytes", "3", addr}, []string{"--type", "dgram", "--payload", "long", addr}, "scm: the message is longer than 3 bytes (use --bytes)\n"},
		{[]string{"--cat", addr}, []string{addr}, "scm: the message contained no descriptor\n"},
		{[]string{"--expect", "regular", addr}, []string{addr}, "scm: the message contained no descriptor\n"},
		{[]string{"--format", "python", addr}, []string{"--payload", "\x02", addr, "/dev/null"}, "scm: …python…\n"},
	} {
		received, sent := transfer(t, c.recv, c.send)
		if sent != (result{}) || received.code != 1 || received.stdout != "" || !like(received.stderr, c.stderr) {
			t.Errorf("%v: sent %+v, received %+v", c.recv, sent, received)
		}
	}

	// On a stream, a receive may return the first part of the payload.
	for args, want := range map[string]string{
		"--bytes 4":                  "scm: more bytes are waiting, but recv makes only one receive (use a larger --bytes, or --type seqpacket)\n",
		"--bytes 5":                  "",
		"--bytes 5 --type seqpacket": "",
	} {
		recv := append(strings.Fields(args), addr)
		received, sent := transfer(t, recv, append(strings.Fields(args)[2:], addr, "/dev/null", "--payload", "hello"))
		first := strings.Fields(args)[1] + " bytes \"hell…\", 1 descriptor\n…"
		if sent != (result{}) || received.code != 0 || !like(received.stdout, first) || received.stderr != want {
			t.Errorf("%s: sent %+v, received %+v", args, sent, received)
		}
	}
}

// recv exits with 4 if it cannot write what it received.
func TestRecvUnwritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	fdtest.Must(t, err)
	defer full.Close()
	for _, args := range []string{"", "--json", "--cat"} {
		addr := filepath.Join(fdtest.ShortDir(t), "socket")
		r := &started{t: t, cmd: exec.Command(program(t, "scm"), append([]string{"recv", timeout, addr}, strings.Fields(args)...)...)}
		r.cmd.Stdout, r.cmd.Stderr = full, &r.stderr
		if err := r.cmd.Start(); err != nil {
			t.Fatalf("recv %s: %v", args, err)
		}
		sent := command(t, "send", timeout, addr, write(t, "text"))
		if got := r.wait(); sent != (result{}) || got.code != 4 || !strings.Contains(got.stderr, "no space left on device") {
			t.Errorf("recv %s: sent %+v, received %+v; want exit status 4 and ENOSPC", args, sent, got)
		}
	}
}

// A signal ends a waiting command and removes the socket file.
func TestSendAndRecvSignal(t *testing.T) {
	for _, args := range []string{"recv ADDR", "recv ADDR --type dgram", "recv ADDR --format notify", "send ADDR --listen", "recv ADDR --format openssh"} {
		for s, name := range signals {
			addr := filepath.Join(fdtest.ShortDir(t), "socket")
			p := start(t, strings.Fields(strings.ReplaceAll(args, "ADDR", addr))...)
			await(t, addr, true)
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatalf("%s, %s: %v", args, name, err)
			}
			check(t, args+", "+name, p.wait(), result{code: 128 + int(s), stderr: "scm: " + name + "\n"})
			if _, err := os.Lstat(addr); err == nil {
				t.Errorf("%s, %s: the socket file still exists", args, name)
			}
		}
	}
	// The other side connects and sends nothing. Then it closes the connection.
	for _, closes := range []bool{false, true} {
		addr := filepath.Join(fdtest.ShortDir(t), "socket")
		r := start(t, "recv", addr, "--format", "openssh")
		conn := fdtest.Connect(t, func() (net.Conn, error) { return net.Dial("unix", addr) })
		await(t, addr, false) // the connection is accepted once the file has been removed
		want := result{code: 128 + int(syscall.SIGTERM), stderr: "scm: terminated\n"}
		if closes {
			_ = conn.Close()
			want = result{code: 1, stderr: "scm: the other side closed the connection without sending a message\n"}
		} else if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		check(t, fmt.Sprintf("closes=%v", closes), r.wait(), want)
		_ = conn.Close()
	}
}

// --timeout also ends recv while it waits for data in a received FIFO.
func TestRecvTimeout(t *testing.T) {
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	r := start(t, "recv", "--timeout", "3s", "--cat", addr)
	if sent := command(t, "send", timeout, "--mode", "read-write", addr, fifo(t, "fifo")); sent != (result{}) {
		t.Fatalf("sent %+v", sent)
	}
	check(t, "recv", r.wait(), result{code: 1, stderr: "scm: timed out after 3s\n"})
}

// The sender of a file chooses its name. recv prints it as one quoted word on one line, whatever it contains.
func TestRecvNames(t *testing.T) {
	addr := filepath.Join(fdtest.ShortDir(t), "socket")
	for _, base := range []string{"plain", "a, b", "a\x1b[2J\r\nregular, read, offset 0, \u202epasswd", "##vso[task.complete]", "a\xff\xfeb"} {
		name := filepath.Join(t.TempDir(), base)
		fdtest.Must(t, os.WriteFile(name, nil, 0o600))
		want := strings.Replace(strconv.QuoteToASCII(name), "##", `#\x23`, 1)
		if base == "plain" {
			want = name
		}
		received, sent := transfer(t, []string{addr}, []string{addr, name})
		if sent != (result{}) || received != (result{stdout: "1 byte \"\\x00\", 1 descriptor\nregular, read, offset 0, " + want + "\n"}) {
			t.Errorf("sent %+v, received %+v, want %q", sent, received, want)
		}
		received, _ = transfer(t, []string{"--json", addr}, []string{addr, name, "--payload", "hé"})
		var object struct {
			Payload     string
			Descriptors []descriptor
		}
		if err := json.Unmarshal([]byte(received.stdout), &object); err != nil || object.Payload != "68c3a9" || len(object.Descriptors) != 1 {
			t.Fatalf("received %+v: %v", received, err)
		}
		got := object.Descriptors[0]
		if whole, err := hex.DecodeString(got.Hex); err == nil && got.Hex != "" { // for names that are not UTF-8
			got.Name = string(whole)
		}
		if got.Name != name || got.Kind != "regular" || got.Access != "read" || got.Offset == nil || strings.ContainsAny(received.stdout, "\x1b\u202e") {
			t.Errorf("received %+v", received)
		}
	}
	// An error that quotes the partner's text.
	received, _ := transfer(t, []string{"--format", "apue", addr}, []string{"--hex", hex.EncodeToString([]byte("\x1b[2J\nscm: all is well\x00\x02")), addr})
	if received.code != 1 || strings.Contains(received.stderr, "\x1b") || strings.Count(received.stderr, "\n") != 1 {
		t.Errorf("received %+v", received)
	}
}
