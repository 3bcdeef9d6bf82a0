//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/examples/internal/program"
)

func TestMain(m *testing.M) {
	program.Main(m, func() {
		os.Args[1] = strings.ReplaceAll(os.Args[1], "NUL", "\x00") // which an argument cannot contain
		main()
	})
}

func TestOnlyRegularFiles(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	folder := t.TempDir() // other users cannot enter it
	for _, err := range []error{
		os.WriteFile(folder+"/motd", []byte("hello\n"), 0o600),
		os.Mkdir(folder+"/folder", 0o700),
		unix.Mkfifo(folder+"/fifo", 0o600),
	} {
		program.OK(t, err)
	}
	opener := program.Public(t)
	for name, want := range map[string]struct{ stdout, stderr string }{
		"motd":    {stdout: "hello\n"},
		"folder":  {stderr: "wanted a regular file (read-only), got a directory"},
		"fifo":    {stderr: "got a pipe"},
		"../motd": {stderr: "the helper refused: not a plain file name"},
		"none":    {stderr: "the helper refused: [Errno 2]"},
		"NUL":     {stderr: "the helper refused: embedded null"},
		"\xff":    {stderr: "the helper refused: 'utf-8' codec can't decode"},
	} {
		cmd := program.Command()
		cmd.Path, cmd.Args = python, []string{"python3", "opener.py", folder, "65534", opener, name}
		out, errs, err := program.Start(t, cmd).Wait()
		if (err == nil) != (want.stderr == "") || out != want.stdout || !strings.Contains(errs, want.stderr) {
			t.Errorf("%s: printed %q and %q, and ended with %v; want %+q", name, out, errs, err, want)
		}
	}
}
