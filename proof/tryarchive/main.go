// Command tryarchive runs the programs of an unpacked archive of make dist: scm version, send and recv, trace, and
// smoke with each peer that the archive contains. The programs must be those of its own architecture. make
// proof-release runs it on this machine, and make proof-kernels in emulated ones.
//
//	tryarchive DIR
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/scm-rights/scm/interop/peers"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tryarchive DIR")
		os.Exit(2)
	}
	if err := try(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "tryarchive:", err)
		os.Exit(1)
	}
}

func try(dir string) error {
	scm, list := filepath.Join(dir, "scm"), filepath.Join(dir, "peers", "peers.json")
	tmp, err := os.MkdirTemp("", "try")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, part := range []struct {
		name string
		run  func(scm, list, tmp string) error
	}{{"version", version}, {"send, recv and trace", pass}, {"smoke", smoke}} {
		if err := part.run(scm, list, tmp); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("tryarchive: %s: ok\n", part.name)
	}
	return nil
}

// run runs a program, and returns what it prints.
func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return string(out), err
}

func version(scm, _, _ string) error {
	out, err := run(scm, "version")
	if err == nil && (!strings.HasPrefix(out, "scm v") || !strings.HasSuffix(out, " linux/"+runtime.GOARCH+"\n")) {
		err = fmt.Errorf("got %q", out)
	}
	return err
}

// pass receives a file from scm send, which runs under scm trace.
func pass(scm, list, tmp string) error {
	socket := filepath.Join(tmp, "socket")
	var got bytes.Buffer
	recv := exec.Command(scm, "recv", "--timeout", "1m", "--cat", socket)
	recv.Stdout, recv.Stderr = &got, os.Stderr
	if err := recv.Start(); err != nil {
		return err
	}
	out, err := run(scm, "trace", "--", scm, "send", "--timeout", "1m", socket, list)
	if received := recv.Wait(); err == nil {
		err = received
	}
	want, unread := os.ReadFile(list)
	switch {
	case err != nil:
		return err
	case unread != nil:
		return unread
	case !strings.Contains(out, "sendmsg(") || !strings.Contains(out, "SCM_RIGHTS ["):
		return fmt.Errorf("the trace is %q", out)
	case !bytes.Equal(got.Bytes(), want):
		return fmt.Errorf("received %q", &got)
	}
	return nil
}

func smoke(scm, list, _ string) error {
	args := []string{"interop", "smoke", "--peers", list}
	all, err := peers.ReadList(list)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.Why == "" {
			args = append(args, "--with", b.Name)
		}
	}
	out, err := run(scm, args...)
	fmt.Print(out)
	return err
}
