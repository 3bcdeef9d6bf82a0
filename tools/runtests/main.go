//go:build linux

// Command runtests runs a plan of tests and reports the results. The plans are in plan.go.
//
//	runtests PLAN           run its parts
//	runtests -list PLAN     print its parts, and their commands
//	runtests -sum TITLE [-failed N] FILE…
//	                        add up the results that runs wrote to RESULTS, with at least N failures
//
// It reads test results from go test -json, from the records of internal/testrecord, and from TAP. Each part has its
// own process group, log in RESULTS, and TMPDIR, which is removed at the end. Every ten seconds, runtests prints the
// progress of the parts. It prints the first failures of each part soon, but only the first case of each cause, and the
// table of partners once all specs with them have run. At the end, it prints the counts of each part, what failed, was
// skipped or is missing, and `N passed, N failed, N skipped`. It writes PLAN.json and, for JUnit, PLAN.xml to RESULTS,
// which is build/test unless the environment sets it.
//
// runtests sends each SIGINT, SIGTERM or SIGHUP to every part. Twenty seconds after the first, it kills the parts. It
// prints the results so far in any case. If nothing reads its output, as in make test | head, it sends SIGTERM to the
// parts.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

const module = "github.com/scm-rights/scm"

var (
	goCommand = cmp.Or(os.Getenv("GO"), "go")
	inCI      = os.Getenv("CI") == "true"
)

func main() {
	list := flag.Bool("list", false, "print the parts of the plan, and their commands")
	title := flag.String("sum", "", "add up the results in files, and print them under this `title`")
	least := flag.Int("failed", 0, "with -sum, the minimum `number` of failures to report")
	flag.Parse()
	if *title != "" {
		os.Exit(sum(*title, *least, flag.Args()))
	}
	names, ok := plans[flag.Arg(0)]
	if !ok || flag.NArg() != 1 {
		fmt.Fprintf(os.Stderr, "runtests: no plan has the name %q\n", strings.Join(flag.Args(), " "))
		os.Exit(2)
	}
	r := newRun(flag.Arg(0), names, parts)
	if *list {
		if err := r.list(); err != nil {
			fmt.Fprintln(os.Stderr, "runtests:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(r.main())
}

// sum adds up the results in files, prints them, and returns the exit status.
func sum(title string, least int, files []string) int {
	var all []*outcome
	for _, file := range files {
		parts, err := readOutcomes(file)
		if err != nil {
			fmt.Println(err)
			least++
		}
		all = append(all, parts...)
	}
	s := summary{title: title, parts: all, least: least}
	return s.print(os.Stdout)
}

// main runs the plan, prints the results, and returns the exit status.
func (r *run) main() int {
	r.began = time.Now()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	failure := r.prepare(signals)
	if failure == nil {
		ended := make(chan struct{})
		go func() { r.schedule(); close(ended) }()
		r.watch(signals, ended)
		r.clean()
	}
	r.screen.clear()
	s := summary{title: "make " + strings.Replace(r.plan, "-quick", " QUICK=1", 1), parts: r.outcomes(), cause: r.causeTable()}
	if failure != nil {
		s.errors = append(s.errors, failure.Error())
	} else if err := s.write(filepath.Join(r.results, r.plan)); err != nil {
		s.errors = append(s.errors, ofResults(err).Error())
	}
	s.errors = append(s.errors, r.errors...)
	if r.interrupted != nil && failure == nil {
		s.errors = append(s.errors, r.interruption())
	}
	status := s.print(r.screen.out)
	if n, ok := r.interrupted.(unix.Signal); ok {
		return 128 + int(n)
	}
	return status
}

// prepare finds the compiler, acquires the lock and creates the directories.
func (r *run) prepare(signals <-chan os.Signal) (err error) {
	if err := r.findCompiler(); err != nil {
		return err
	}
	if err := os.MkdirAll("build", 0o777); err != nil {
		return err
	}
	if err := r.lock(signals); err != nil {
		return err
	}
	if err := r.prepareResults(); err != nil {
		return ofResults(err)
	}
	dir, err := filepath.Abs(os.TempDir()) // tests run in the directories of their packages
	if err != nil {
		return err
	}
	if slices.ContainsFunc(r.parts, func(p *running) bool { return p.asUser() != "" }) && !fdtest.Searchable(dir) {
		dir = "/tmp"
	}
	r.temporary, err = temporary(dir)
	return err
}

// prepareResults creates the directory RESULTS, and removes the results of the last run of the plan.
func (r *run) prepareResults() error {
	if err := os.MkdirAll(r.results, 0o777); err != nil {
		return err
	}
	if err := unix.Access(r.results, unix.W_OK); err != nil { // before tests run in vain
		return &os.PathError{Op: "access", Path: r.results, Err: err}
	}
	for _, old := range []string{".json", ".xml"} {
		if err := os.RemoveAll(filepath.Join(r.results, r.plan+old)); err != nil {
			return err
		}
	}
	return nil
}

// ofResults says that an error is about the directory RESULTS.
func ofResults(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot write to RESULTS: %w", err)
}

// temporary creates a directory with the mode of /tmp, because tests run programs in it as other users.
func temporary(dir string) (string, error) {
	made, err := os.MkdirTemp(dir, "scm")
	if err == nil {
		err = os.Chmod(made, 0o777|os.ModeSticky)
	}
	return made, err
}

// lock waits until no other run holds the lock, because both would write the same files, such as the list of partners.
// The kernel releases the lock when the process ends.
func (r *run) lock(signals <-chan os.Signal) error {
	name := "build/tests.lock"
	if strings.HasPrefix(r.plan, "proof-bsd") { // can run beside the others
		name = "build/proof-bsd.lock"
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	for tries := 0; ; tries++ {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			return err
		}
		if tries%50 == 0 {
			r.screen.printf("waiting for another run of the tests, which holds the lock %s", name)
		}
		select {
		case r.interrupted = <-signals:
			return fmt.Errorf("another run of the tests holds the lock %s", name)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// list prints the parts of the plan and their commands.
func (r *run) list() error {
	if err := r.findCompiler(); err != nil {
		return err
	}
	for _, p := range r.parts {
		if why := r.skips(p); why != "" {
			fmt.Printf("%s: skipped: %s\n", p.Name, why)
			continue
		}
		command, _, err := r.commandOf(p)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", p.Name, strings.Join(command, " "))
	}
	return nil
}
