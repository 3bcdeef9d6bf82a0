package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What starts no peer works on every system: here on one without processes and sockets.
func TestInteropElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no user changes what another system does")
	}
	node := tool(t, "node")
	wasm := filepath.Join(t.TempDir(), "scm.wasm")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", wasm, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := func(args ...string) result {
		t.Helper()
		start := []string{"--stack-size=8192", filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/wasm_exec_node.js"), wasm}
		return finish(t, exec.Command(node, append(start, args...)...))
	}
	old, new := filepath.Join(t.TempDir(), "old.json"), filepath.Join(t.TempDir(), "new.json")
	for _, file := range []string{old, new} {
		if r := command(t, "interop", "run", "--builtin=false", "--run", "basics/pass-one-fd", "--report", file); r.code != 0 {
			t.Fatal(r)
		}
	}
	catalogue := t.TempDir() // of one group: to check them all takes it ten seconds
	if err := os.CopyFS(catalogue+"/basics", os.DirFS("../../interop/catalogue/basics")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"show", "basics/pass-one-fd"},
		{"check-catalogue", catalogue},
		{"list", "--builtin=false", "--run", "basics/**"},
		{"list", "--builtin=false", "--scenarios", "--json"},
		{"compare", old, new},
		{"compare", old, filepath.Join(t.TempDir(), "none")},
		{"expect", new},
		{"show", "nothing"},
	} {
		args = append([]string{"interop"}, args...)
		here, there := command(t, args...), elsewhere(args...)
		if there.code != here.code || there.stdout != here.stdout || (there.stderr == "") != (here.stderr == "") {
			t.Errorf("%q: got %d, %q, %.200q…, want %d, %q, %.200q…", args, there.code, there.stderr, there.stdout, here.code, here.stderr, here.stdout)
		}
	}
	if r := elsewhere("interop", "run"); r.code != exitBroken || !strings.Contains(r.stderr, "runs there only") {
		t.Error(r)
	}
}
