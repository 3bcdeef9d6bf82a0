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
	"github.com/scm-rights/scm/proof/must"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tryarchive DIR")
		os.Exit(2)
	}
	must.Main("tryarchive", func() { try(os.Args[1]) })
}

func try(dir string) {
	scm, list := filepath.Join(dir, "scm"), filepath.Join(dir, "peers", "peers.json")
	tmp := must.Get(os.MkdirTemp("", "try"))
	defer os.RemoveAll(tmp)
	for _, part := range []struct {
		name string
		run  func(scm, list, tmp string)
	}{{"version", version}, {"send, recv and trace", pass}, {"smoke", smoke}} {
		if err := must.Try(func() { part.run(scm, list, tmp) }); err != nil {
			must.Failf("%s: %w", part.name, err)
		}
		fmt.Printf("tryarchive: %s: ok\n", part.name)
	}
}

// run runs a program, and returns what it prints.
func run(name string, args ...string) string {
	return must.Run(exec.Command(name, args...))
}

func version(scm, _, _ string) {
	out := run(scm, "version")
	if !strings.HasPrefix(out, "scm v") || !strings.HasSuffix(out, " linux/"+runtime.GOARCH+"\n") {
		must.Failf("got %q", out)
	}
}

// pass receives a file from scm send, which runs under scm trace.
func pass(scm, list, tmp string) {
	socket := filepath.Join(tmp, "socket")
	var got bytes.Buffer
	recv := exec.Command(scm, "recv", "--timeout", "1m", "--cat", socket)
	recv.Stdout, recv.Stderr = &got, os.Stderr
	must.OK(recv.Start())
	defer func() { _ = recv.Process.Kill() }() // if scm send fails
	out := run(scm, "trace", "--", scm, "send", "--timeout", "1m", socket, list)
	must.OK(recv.Wait())
	want := must.Get(os.ReadFile(list))
	switch {
	case !strings.Contains(out, "sendmsg(") || !strings.Contains(out, "SCM_RIGHTS ["):
		must.Failf("the trace is %q", out)
	case !bytes.Equal(got.Bytes(), want):
		must.Failf("received %q", &got)
	}
}

func smoke(scm, list, _ string) {
	args := []string{"interop", "smoke", "--peers", list}
	for _, b := range must.Get(peers.ReadList(list)) {
		if b.Why == "" {
			args = append(args, "--with", b.Name)
		}
	}
	fmt.Print(run(scm, args...))
}
