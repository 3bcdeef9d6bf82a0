//go:build unix

package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// An interrupt of the tests leaves no temporary file.
func TestProgress(t *testing.T) {
	cmd := exec.Command("../progress.sh", "../part.sh", "a/b", "run", "sh", "-c",
		`echo "$TMPDIR"; echo "1204 of 2995 specs" >"$SCM_PROGRESS"; sleep 600`)
	cmd.Env = append(os.Environ(), "RESULTS="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	s := bufio.NewScanner(out)
	for s.Scan() {
		if lines = append(lines, s.Text()); len(lines) == 2 {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		}
	}
	err = errors.Join(s.Err(), cmd.Wait())
	if want := regexp.MustCompile(`^0:1\d  a-b: 1204 of 2995 specs$`); len(lines) != 2 || !want.MatchString(lines[1]) {
		t.Errorf("it ended with %v, and printed %q", err, lines)
	} else if _, err := os.Stat(lines[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", lines[0], err)
	}
}
