//go:build linux

package wire_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/scm-rights/scm/internal/fdtest"
)

// These are the helpers for specs whose partner is a real program.

// buildTime is the time limit of a build. The first build downloads its dependencies, and may wait for the
// build of another suite.
var buildTime = fdtest.Limit(8 * time.Minute)

// program returns the path of a program. debian is the Debian package that has it. If the program is missing,
// the spec fails with CI=true and is skipped otherwise.
func program(name, debian string) string {
	GinkgoHelper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		fdtest.Missing(GinkgoTB(), name, "no "+name+" in PATH (Debian: "+debian+")")
	}
	return path
}

// script returns the command of a Python script in testdata, which needs the library.
func script(name, library, debian string) []string {
	GinkgoHelper()
	program("python3", "python3")
	python, why := interpreter()
	if why != "" {
		fdtest.Missing(GinkgoTB(), "python3", "python3 does not run: "+why)
	}
	if library != "" {
		why, known := loads[library]
		if !known {
			_, why = output(python, "-c", load, library)
			loads[library] = why
		}
		if why != "" {
			fdtest.Missing(GinkgoTB(), library, "python3 cannot load "+library+" (Debian: "+debian+"): "+why)
		}
	}
	return []string{python, filepath.Join("testdata", name)}
}

// interpreter returns the path of python3 itself, because the python3 in PATH may be a script that looks for
// it.
var interpreter = sync.OnceValues(func() (path, why string) {
	return output("python3", "-c", "import sys; print(sys.executable)")
})

// load is a Python program that loads a library, and loads has the reason why it failed, or "", by library.
const load = "from ctypes import *; import ctypes.util as u, sys; l = sys.argv[1]; CDLL(u.find_library(l) or l)"

var loads = map[string]string{}

// output returns the output of a command, and why it failed.
func output(name string, args ...string) (text, why string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text = strings.TrimSpace(string(out))
	if err != nil {
		return "", err.Error() + ": " + text[strings.LastIndex(text, "\n")+1:]
	}
	return text, ""
}

func commandOf(ctx context.Context, words []string, more ...string) *exec.Cmd {
	words = append(words, more...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

// begin starts the program, which gets duplicates of the descriptors as 3, 4, 5 … It is killed at the end of
// the spec.
func begin(cmd *exec.Cmd, fds ...int) *gexec.Session {
	GinkgoHelper()
	for _, fd := range fds {
		cmd.ExtraFiles = append(cmd.ExtraFiles, duplicate(fd))
	}
	p := ok(gexec.Start(cmd, nil, GinkgoWriter))
	DeferCleanup(func() { <-p.Kill().Exited })
	return p
}

// exits waits until the program has exited, which must be with the status, and returns its standard output.
func exits(p *gexec.Session, status int) string {
	GinkgoHelper()
	<-p.Exited
	out := string(p.Out.Contents())
	Expect(p.ExitCode()).To(Equal(status), "exit status of %s\nstandard output: %s", p.Command, out)
	return out
}

// runWithFDs runs the program, which gets duplicates of the descriptors as 3, 4, 5 …, and returns its
// standard output.
func runWithFDs(cmd *exec.Cmd, fds ...int) string {
	GinkgoHelper()
	return exits(begin(cmd, fds...), 0)
}
