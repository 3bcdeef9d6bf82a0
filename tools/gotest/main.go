// Command gotest runs a named part of the project's tests, counts the tests that passed, failed or were
// skipped, and adds up the counts of several parts.
//
//	gotest [-name NAME] [-results DIR] [-C DIR] -- GO-TEST-ARGUMENT…
//	gotest [-name NAME] [-results DIR] -command -- COMMAND ARGUMENT…
//	gotest [-name NAME] [-results DIR] -skip REASON
//	gotest -results DIR -verdict TITLE [-failed N] [-partners FILE] [NAME…]
//
// By default, gotest runs `go test -json`. It counts the specs of a Ginkgo suite instead of the suite, and subtests
// instead of their parent test. It prints a line per package, the output of each failed test, the reason for each
// skipped test and the output of each suite. Its last line is `NAME: N passed, N failed, N skipped`.
//
// With -command, gotest runs any other command and counts the lines of its output that begin with "ok", "not ok" and
// "skip", as the C tests print them. With -skip, gotest runs nothing and records why this part of the tests was skipped.
// If CI=true, that counts as a failure.
//
// In all these cases, gotest writes the counts and the names of the failed tests to DIR/NAME.json, and the whole output
// to DIR/NAME.log. With -verdict, it prints the counts and the failed tests of the named parts (by default all parts in
// DIR). It then fails unless every part ran and no test failed. With -failed, it reports at least N failures.
// With -partners, it also prints which peers in a list of buildpeers could not be built, so no test has run them.
//
// Ginkgo's own JSON report cannot replace gotest: its flags make go test fail in packages that have no Ginkgo suite.
//
// If $SCM_BEAT is a directory, gotest lists the running tests in a file in this directory (see
// tools/beat.sh).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// beatVariable is the environment variable that contains the directory for the files that list the
// running tests.
const beatVariable = "SCM_BEAT"

func main() {
	name := flag.String("name", "go test", "the `name` of the part")
	results := flag.String("results", "", "the `directory` for counts and output")
	dir := flag.String("C", ".", "run go test in this `directory`")
	command := flag.Bool("command", false, "run a command instead of go test")
	skip := flag.String("skip", "", "record that the part cannot run, for this `reason`")
	title := flag.String("verdict", "", "print the sum of the parts under this `title`")
	failed := flag.Int("failed", 0, "with -verdict, report at least `N` failures")
	partners := flag.String("partners", "", "with -verdict, print which peers in this `file` were not built")
	flag.Parse()

	// The commands that gotest runs receive the interrupt too. Wait for them to exit, so that gotest can
	// list the tests that were running.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case *title != "":
		err = verdict(os.Stdout, *title, *results, *failed, *partners, flag.Args())
	case *skip != "":
		err = write(*results, skipped(os.Stdout, *name, *skip))
	case *command:
		err = record(os.Stdout, *results, *name, func(log io.Writer) (*part, error) {
			return runCommand(*name, flag.Args(), os.Stdout, log)
		})
	default:
		err = record(os.Stdout, *results, *name, func(log io.Writer) (*part, error) {
			return goTest(*name, *dir, flag.Args(), os.Stdout, log)
		})
	}
	if err != nil {
		if err != errFailed {
			fmt.Fprintln(os.Stderr, "gotest:", err)
		}
		os.Exit(1)
	}
}

// errFailed means that a test failed, which was printed already.
var errFailed = errors.New("failed")

// record runs a part, and writes its output and counts to the directory, unless that is "".
func record(w io.Writer, dir, name string, run func(log io.Writer) (*part, error)) error {
	log := io.Discard
	if dir != "" {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		file, err := os.Create(logFile(dir, name))
		if err != nil {
			return err
		}
		defer file.Close()
		log = file
	}
	p, err := run(log)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", p.Name, p.outcome())
	return write(dir, p)
}

// goTest runs the tests in a directory.
func goTest(name, dir string, args []string, w, log io.Writer) (*part, error) {
	// make lint runs vet. Tests spend half of their time waiting, so run two packages per processor
	// at once. The limit of go test is for a whole package, which a slow machine exceeds without a fault. What hangs is in
	// the list of running tests.
	flags := []string{"test", "-json", "-count=1", "-timeout=0", "-vet=off", fmt.Sprintf("-p=%d", 2*runtime.NumCPU())}
	goflags, err := exec.Command("go", "env", "GOFLAGS").Output()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", append(flags, args...)...)
	cmd.Dir = dir
	// If a test runs gotest, the inner gotest must not list its tests as running.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, beatVariable+"=") })
	// Without debugging information, the linker needs two thirds of the time for the programs that tests build.
	cmd.Env = append(cmd.Env, strings.TrimSpace("GOFLAGS=-ldflags=-w "+string(goflags)))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = io.MultiWriter(os.Stderr, log)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := newReport(name, w, log)
	r.filtered = strings.Contains(strings.Join(args, " "), "-ginkgo.label-filter")
	if beat := os.Getenv(beatVariable); beat != "" {
		file := filepath.Join(beat, fileName(name))
		r.beat = func(text string) { _ = os.WriteFile(file, []byte(text), 0o666) }
		defer os.Remove(file)
		r.listRunning()
	}
	if err := r.read(stdout); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil && r.Failed == 0 {
		r.fail("go test: " + err.Error())
	}
	if r.Passed+r.Failed+r.Skipped == 0 {
		r.Note = "no test ran"
	}
	return r.part, nil
}

// skipped returns a part that cannot run.
func skipped(w io.Writer, name, reason string) *part {
	if os.Getenv("CI") == "true" {
		p := &part{Name: name}
		p.fail(reason + ", and CI=true")
		fmt.Fprintf(w, "%s: %s\n", name, p.Red[0])
		return p
	}
	fmt.Fprintf(w, "skip: %s: %s\n", name, reason)
	return &part{Name: name, Skipped: 1, Note: "skipped: " + reason}
}

// shorten returns an import path without the prefix common to the packages of this repository.
func shorten(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/scm-rights/")
}
