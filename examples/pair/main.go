//go:build unix

// Pair shows that Stevens' write_fd and read_fd and their counterparts in Go understand each other, and that both
// backends of package scm make the same system calls. A parent starts a child with one end of a socketpair as
// descriptor 3, passes its standard input to it, gets the same file back, and prints it. Pair builds parents and
// children in C, in Go with cgo and in pure Go, and runs each parent with each child. On Linux, it also compares the
// system calls of the two backends, as scm diff --padding does.
//
// It needs a checkout and, except for pure Go, a C compiler. With CI=true, it fails if it cannot compare the system calls.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	module   = "github.com/scm-rights/scm"
	contents = "the contents of a file"

	c      = "C"
	cgo    = "Go with cgo"
	pureGo = "pure Go"
)

// doing is a string that describes the current step.
var doing atomic.Value

func main() {
	ready()
	doing.Store("asking go list for the module")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program. SIGPIPE does not, because the program still writes when it removes its files.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGHUP, syscall.SIGTERM) })
	go func() { // the first build can take a minute
		for start := time.Now(); ; {
			time.Sleep(5 * time.Second)
			fmt.Fprintf(os.Stderr, "still %v after %v\n", doing.Load(), time.Since(start).Round(time.Second))
		}
	}()
	if err := try(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "pair:", err)
		os.Exit(1)
	}
}

func try(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "pair")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, variable := range []string{"TMPDIR", "GOTMPDIR"} { // the compilers may leave files after an interrupt
		_ = os.Setenv(variable, dir)
	}
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString(contents); err != nil {
		return err
	}
	languages, err := build(ctx, dir)
	if err != nil {
		return err
	}

	doing.Store("running the programs")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // a parent waits for ever if its child sends nothing
	defer cancel()
	// pair returns the command of a parent in one language with a child in another.
	pair := func(parent, child string) *exec.Cmd {
		_, _ = file.Seek(0, io.SeekStart) // the previous parent has read the file to its end
		cmd := command(ctx, filepath.Join(dir, parent+" parent"), filepath.Join(dir, child+" child"))
		cmd.Stdin = file
		return cmd
	}
	err = passAll(languages, pair)
	if len(languages) == 1 {
		fmt.Println("left out, because no C compiler works: C, Go with cgo, and comparing cgo with pure Go")
		fmt.Println("on Debian, root can install a compiler: apt-get install gcc libc6-dev")
		return errors.Join(err, mayLeaveOut())
	}
	return errors.Join(err, compare(pair))
}

// mayLeaveOut returns an error if the system calls must be compared. Otherwise, a CI job that does not compare them
// would look as if it had.
func mayLeaveOut() error {
	if os.Getenv("CI") == "true" {
		return errors.New("the system calls of cgo and pure Go were not compared, and CI=true")
	}
	return nil
}

// build builds a parent and a child in each language, as files in dir, and returns the languages.
func build(ctx context.Context, dir string) ([]string, error) {
	found, err := command(ctx, "go", "list", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, err
	}
	root := strings.TrimSpace(string(found))
	csrc, _ := filepath.Glob(filepath.Join(root, "csrc/*.c")) // the pattern is valid
	languages := []string{c, cgo, pureGo}
	doing.Store("looking for a C compiler")
	compile, err := compiler(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no C compiler works:", err)
		languages = []string{pureGo}
	}
	for _, language := range languages {
		doing.Store("building a parent and a child in " + language)
		fmt.Fprintln(os.Stderr, doing.Load())
		for _, name := range []string{"parent", "child"} {
			program := filepath.Join(dir, language+" "+name)
			// CGO_ENABLED and tags in the user's environment do not change the backend.
			cmd := command(ctx, "go", "build", "-buildvcs=false", "-tags=", "-o", program, module+"/examples/pair/"+name)
			switch language {
			case c:
				source := filepath.Join(root, "examples/pair/c", name+".c")
				cmd = compile(append(csrc, source, "-std=c99", "-D_GNU_SOURCE", "-I", filepath.Join(root, "csrc"), "-o", program)...)
			case cgo:
				cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
			case pureGo:
				cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			}
			if err := cmd.Run(); err != nil {
				return nil, err
			}
		}
	}
	return languages, nil
}

// compiler returns the commands of the C compiler, after it has built a program with it.
func compiler(ctx context.Context, dir string) (func(args ...string) *exec.Cmd, error) {
	cc, err := command(ctx, "go", "env", "CC").Output() // cgo uses it too
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(cc))
	compile := func(args ...string) *exec.Cmd { return command(ctx, words[0], slices.Concat(words[1:], args)...) }
	// Use a file, because writing to a compiler that has ended raises SIGPIPE.
	empty := filepath.Join(dir, "empty.c")
	if err := os.WriteFile(empty, []byte("#include <stdio.h>\nint main(void) { return 0; }\n"), 0o600); err != nil {
		return nil, err
	}
	return compile, compile(empty, "-o", filepath.Join(dir, "empty")).Run()
}

// passAll runs each parent with each child, and prints a table with the results.
func passAll(languages []string, pair func(parent, child string) *exec.Cmd) (err error) {
	fmt.Println("\nEach parent passes an open file to each child, gets it back and reads it:")
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "\tchild in %s\n", strings.Join(languages, "\tchild in "))
	for _, parent := range languages {
		fmt.Fprintf(table, "parent in %s", parent)
		for _, child := range languages {
			result := "passed"
			if out, failed := pair(parent, child).Output(); failed != nil || string(out) != contents {
				result = "FAILED"
				err = errors.Join(err, fmt.Errorf("parent in %s, child in %s: printed %q, %v", parent, child, out, failed))
			}
			fmt.Fprintf(table, "\t%s", result)
		}
		fmt.Fprintln(table)
	}
	return errors.Join(err, table.Flush())
}

// command returns a command that ends when ctx is done. Compilers that are interrupted end what they have started.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	return cmd
}
