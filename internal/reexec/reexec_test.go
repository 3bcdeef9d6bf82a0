//go:build unix

package reexec

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Register("prints its arguments", func(args []string) { fmt.Printf("%s: %q\n", Name(), args) })
	Register("exits with status 7", func([]string) { os.Exit(7) })
	Main()
	os.Exit(m.Run())
}

const want = "prints its arguments: [\"a\" \"b c\"]\n"

func TestCommandStartsChild(t *testing.T) {
	if out, err := Command("prints its arguments", "a", "b c").CombinedOutput(); string(out) != want || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	cmd := Command("exits with status 7")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Error(err)
	}
}

// needs skips the test on a system without the program, such as a bare kernel.
func needs(t *testing.T, program string) {
	if _, err := os.Stat(program); err != nil {
		t.Skip(runtime.GOOS+":", err)
	}
}

func TestCommandLineStartsChild(t *testing.T) {
	needs(t, "/usr/bin/env")
	line := CommandLine("prints its arguments", "a", "b c")
	cmd := exec.Command(line[0], line[1:]...)
	if out, err := cmd.CombinedOutput(); string(out) != want || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestUnderStartsChild(t *testing.T) {
	needs(t, "/bin/sh")
	cmd := Command("prints its arguments", "a", "b c")
	if err := Under(cmd, "/bin/sh", "-c", `echo shell; exec "$0" "$@"`); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); string(out) != "shell\n"+want || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestTestCommandRunsOneTest(t *testing.T) {
	if Name() == t.Name() {
		return
	}
	out, err := TestCommand(t).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) || strings.Count(string(out), "=== RUN") != 1 {
		t.Errorf("ended with %v, want one test, which passes:\n%s", err, out)
	}
}

func TestUnknownNameRunsNoTest(t *testing.T) {
	cmd := Command("nothing")
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || string(out) != "SCM_TEST_CHILD=nothing: no child has this name\n" {
		t.Errorf("status %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
}

func TestRegisterRejectsName(t *testing.T) {
	for _, name := range []string{"", "TestSomething", "exits with status 7"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q: registered", name)
				}
			}()
			Register(name, func([]string) {})
		}()
	}
}
