//go:build linux && !purego && !scm_purego

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// session runs the commands of docs/howto-port.md in a file, which must print what the page shows, and returns the
// directory of the programs.
func session(t *testing.T, file string) (dir, commands string) {
	t.Helper()
	fdtest.Program(t, "cc")
	dir = fdtest.ShortDir(t) + "/"
	commands, output, _ := strings.Cut(string(program.Must(os.ReadFile(file))), "# ")
	want := counted(strings.ReplaceAll(output, "\n# ", "\n"))
	got, code := run("sh", "-ec", strings.ReplaceAll(commands, "build/", dir))
	if code == 4 {
		fdtest.Missing(t, "ptrace", "scm diff cannot record programs")
	}
	if code != 0 || got != want {
		t.Fatalf("status %d, %q; want %q", code, got, want)
	}
	return dir, commands
}

// The port makes the same calls, in either order of the control messages, and scm diff sees the order.
func TestControlMessages(t *testing.T) {
	dir, _ := session(t, "credentials/session.txt")
	first := []string{dir + "credentials", "LICENSE", "first", "---", dir + "port-credentials", "LICENSE"}
	got, code := run(dir+"scm", append([]string{"diff", "--quiet", "--"}, first...)...)
	if code != 1 || !strings.Contains(got, "control message 0, cmsg_type: 2 against 1") {
		t.Errorf("status %d, %q; want the other order as a difference", code, got)
	}
}

// The commands print what the page shows, whatever is on the stack, and find a fault in the port.
func TestHowto(t *testing.T) {
	dir, commands := session(t, "session.txt")
	once := "open LICENSE\n" + string(program.Must(os.ReadFile("../../LICENSE")))
	if log := string(program.Must(os.ReadFile(dir + "log"))); log != strings.Repeat(once, 4) {
		t.Errorf("the programs have logged %q", log)
	}
	var allow []string
	for _, m := range regexp.MustCompile(`--allow '(.*)'`).FindAllStringSubmatch(commands, -1) {
		allow = append(allow, "--allow="+m[1])
	}
	below := func(helper string, length int) []string { // an environment of another length moves the stack
		return []string{"env", "X=" + strings.Repeat("x", length), dir + "port", dir + helper, dir + "log", "LICENSE"}
	}
	diff := func(a, b string, i int, allow []string) (string, int) {
		return run(dir+"scm", slices.Concat([]string{"diff"}, allow, []string{"--"}, below(a, 3*i), []string{"---"}, below(b, 100+5*i))...)
	}
	const same, allowed = "same: 5 calls\n", "same: 5 calls, with 3 allowed differences in 2 calls\n"
	for _, c := range []struct {
		a, b, want string
		allow      []string
	}{{"port", "port", same, nil}, {"port", "cgo", allowed, allow}, {"port", "purego", allowed, allow}, {"cgo", "purego", same, nil}} {
		for i := range 20 {
			if got, code := diff(c.a, c.b, i, c.allow); code != 0 || got != c.want {
				t.Errorf("%s and %s, run %d: status %d, %q; want %q", c.a, c.b, i, code, got, c.want)
			}
		}
	}

	const helper, library, flag = "examples/port/port.go", "internal/pure/pure_linux.go", "&hdr, unix.MSG_CMSG_CLOEXEC)"
	for _, c := range []struct {
		a, file, old, new, want string
		code                    int
		allow                   []string
	}{
		{"port", helper, "1023)", "1024)", "call 1 of process 2, port (recvmsg), at its entry: iov_len: 1023 against 1024", 1, allow},
		{"port", helper, "[]byte{0}", "[]byte{1}", "call 2 of process 2, port (sendmsg), at its entry: payload[0:1] of 1: 00 against 01", 1, allow},
		{"port", helper, "_ = f.Close()", "_, _ = scm.WriteFD(sock, name[:1], 0)", "call 3 of process 2, port (recvmsg): the call: recvmsg against sendmsg", 1, allow},
		{"port", helper, "scm.WriteFD(sock, []byte{0}, int(f.Fd()))", "f.Write(nil)", "call 2 of process 2, port (sendmsg): the call: sendmsg against none", 1, allow},
		{"port", helper, "_ = log.Close()", "", "call 1 of process 2, port (recvmsg): received descriptor 1 at the exit of process 2: no longer open against still open", 1, allow},
		{"cgo", library, flag, "&hdr, 0)", "call 1 of process 2, cgo (recvmsg), at its entry: flags: MSG_CMSG_CLOEXEC against 0", 1, nil},
		{"port", library, flag, "&hdr, 0)", "call 1 of process 2, port (recvmsg), at its exit: SCM_RIGHTS, close-on-exec: B does not set close-on-exec, which --allow requires", 1, allow},
	} {
		file := program.Must(filepath.Abs("../../" + c.file))
		faulty := bytes.Replace(program.Must(os.ReadFile(file)), []byte(c.old), []byte(c.new), 1)
		fdtest.Must(t, os.WriteFile(dir+"faulty.go", faulty, 0o666))
		fdtest.Must(t, os.WriteFile(dir+"overlay", fmt.Appendf(nil, `{"Replace": {%q: %q}}`, file, dir+"faulty.go"), 0o666))
		_, _ = run("go", "build", "-overlay", dir+"overlay", "-tags", "scm_purego", "-o", dir+"faulty", "./examples/port")
		got, code := diff(c.a, "faulty", 0, c.allow)
		if first, _, _ := strings.Cut(got, "\n"); code != c.code || !strings.Contains(first, c.want) || strings.Count(got, "\n") > 20 {
			t.Errorf("%q instead of %q: status %d, %q; want status %d, %q", c.new, c.old, code, got, c.code, c.want)
		}
		if _, required, ok := strings.Cut(c.want, "B does not set"); ok && strings.Count(got, required) != 2 {
			t.Errorf("%q; want %q also in the list", got, required)
		}
	}
}

// run runs a command in the checkout, and returns its counted output and its status.
func run(name string, args ...string) (string, int) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, _ := cmd.Output() // the status says whether it failed
	return counted(string(out)), cmd.ProcessState.ExitCode()
}

// counted removes the line about fields that the kernel ignores: which of them differ depends on the stack.
func counted(text string) string {
	return regexp.MustCompile(`(?m)^not counted.*\n`).ReplaceAllString(text, "")
}
