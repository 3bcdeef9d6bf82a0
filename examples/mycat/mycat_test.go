//go:build linux

// Package mycat_test runs mycat with openfile in all four combinations of C and Go.
package mycat_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

const lines = "mycat prints this file\nbut never opens it\n"

func TestEveryCombinationOfCAndGo(t *testing.T) {
	bins := map[string]string{"go": buildGo(t)}
	if dir, why := buildC(t); why == "" {
		bins["c"] = dir
	} else if os.Getenv("CI") == "true" {
		t.Fatal(why)
	} else {
		t.Logf("skipping the C programs: %s", why)
	}

	file := filepath.Join(t.TempDir(), "file")
	// The content is larger than a pipe or a buffer.
	content := []byte(strings.Repeat(lines, 10000))
	fdtest.Must(t, os.WriteFile(file, content, 0o600))
	missing := filepath.Join(t.TempDir(), "missing")

	for _, cat := range []string{"go", "c"} {
		for _, open := range []string{"go", "c"} {
			t.Run("mycat in "+cat+", openfile in "+open, func(t *testing.T) {
				if bins[cat] == "" || bins[open] == "" {
					t.Skip("the C programs were not built")
				}
				run := func(path string) (stdout []byte, stderr string, status int) {
					var out, errs bytes.Buffer
					cmd := exec.Command(filepath.Join(bins[cat], "mycat"), "-o", filepath.Join(bins[open], "openfile"), path)
					cmd.Stdout, cmd.Stderr = &out, &errs
					if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
						t.Fatal(err)
					}
					return out.Bytes(), errs.String(), cmd.ProcessState.ExitCode()
				}

				if out, errs, status := run(file); status != 0 || errs != "" || !bytes.Equal(out, content) {
					t.Errorf("status %d, %d bytes, stderr %q; want status 0, %d bytes", status, len(out), errs, len(content))
				}
				for path, why := range map[string]string{
					missing:       "no such file or directory",
					file + "/sub": "not a directory",
				} {
					out, errs, status := run(path)
					if status != 1 || len(out) != 0 || !strings.Contains(errs, path) || !strings.Contains(strings.ToLower(errs), why) {
						t.Errorf("%q: status %d, stdout %q, stderr %q; want status 1, no output, %q", path, status, out, errs, why)
					}
				}
			})
		}
	}
}

// buildGo builds the Go programs with the backend of this test run.
func buildGo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/"}
	if scm.Backend == "purego" {
		args = append(args, "-tags", "scm_purego")
	}
	if out, err := exec.Command("go", append(args, "./go/...")...).CombinedOutput(); err != nil {
		t.Fatalf("build the programs in Go: %v\n%s", err, out)
	}
	return dir
}

// buildC builds the C programs, or returns the reason why it cannot.
func buildC(t *testing.T) (dir, why string) {
	t.Helper()
	for _, tool := range []string{"make", compiler(t)} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err.Error()
		}
	}
	dir = fdtest.ShortDir(t)
	cmd := exec.Command("make", "-C", "c", "CC="+compiler(t), "OUT="+dir)
	cmd.Env = fdtest.WithoutMake()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the programs in C: %v\n%s", err, out)
	}
	return dir, ""
}

func compiler(t *testing.T) string {
	t.Helper()
	return strings.Fields(string(program.Must(exec.Command("go", "env", "CC").Output())))[0]
}
