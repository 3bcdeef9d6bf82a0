//go:build unix

// Pair shows that Stevens' write_fd and read_fd and their counterparts in Go understand each other. A parent, in C or Go,
// starts a child with one end of a socketpair as descriptor 3, passes its standard input to it, gets the same file back,
// and prints it. It builds the four programs, and needs a checkout and, for those in C, a C compiler.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := try(); err != nil {
		fmt.Fprintln(os.Stderr, "pair:", err)
		os.Exit(1)
	}
}

func try() error {
	dir, err := os.MkdirTemp("", "pair")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("the contents of a file"), 0o666); err != nil {
		return err
	}
	languages, err := build(dir)
	for _, parent := range languages {
		for _, child := range languages {
			if err == nil {
				err = pass(file, dir, parent, child)
			}
		}
	}
	return err
}

// build returns the languages whose programs it has built.
func build(dir string) (languages []string, err error) {
	const module = "github.com/scm-rights/scm"
	for _, name := range []string{"parent", "child"} {
		if err := run("go", "build", "-o", filepath.Join(dir, "Go-"+name), module+"/examples/pair/"+name); err != nil {
			return nil, err
		}
	}
	root, err := exec.Command("go", "list", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("cc"); err != nil {
		fmt.Println("no C compiler (cc), so only the programs in Go run")
		return []string{"Go"}, nil
	}
	csrc := filepath.Join(strings.TrimSpace(string(root)), "csrc")
	library, _ := filepath.Glob(filepath.Join(csrc, "*.c")) // the pattern is valid
	for _, name := range []string{"parent", "child"} {
		source := filepath.Join(filepath.Dir(csrc), "examples/pair/c", name+".c")
		if err := run("cc", append([]string{"-std=c99", "-D_GNU_SOURCE", "-I", csrc, "-o", filepath.Join(dir, "C-"+name), source}, library...)...); err != nil {
			return nil, err
		}
	}
	return []string{"C", "Go"}, nil
}

// pass runs a parent, which prints the file that it has passed to the child and got back.
func pass(name, dir, parent, child string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command(filepath.Join(dir, parent+"-parent"), filepath.Join(dir, child+"-child"))
	cmd.Stdin, cmd.Stderr = file, os.Stderr
	out, err := cmd.Output()
	if err == nil {
		fmt.Printf("from %s to %s and back: %s\n", parent, child, out)
	}
	return err
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
