package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/peertest"
)

// Each skeleton is a complete peer without its library.
func TestNewPeer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: a run without it tests every skeleton, and neither the user nor the backend matters")
	}
	for _, s := range peers.Skeletons() {
		t.Run(s.Language, func(t *testing.T) {
			dir := t.TempDir()
			buildPeer(t, s, dir, "")
			commandsByHand(t, s, dir, "unsupported")
			peer := "mine=env -C " + dir + " " + s.Run
			unfilled := `answers "unsupported" to every send and every recv: fill in ` + strings.Join(s.Functions("send", "recv"), " and ") + "\n"
			runs(t, result{0, "mine: ok, " + s.Language + " 0, …; " + unfilled, "…"},
				"interop", "smoke", "--builtin=false", "--peer", peer, "--timeout", "1m")
			// TestPeersAreStrict tests our peers in Java, Python and Ruby, which contain the same code.
			switch s.Language {
			case "java", "ruby":
			case "python":
				runs(t, result{3, "", "scm: peer mine: nothing is filled in yet: it " + unfilled}, "interop", "run", "--builtin=false", "--peer", peer, "--timeout", "1m")
			default:
				strict := exec.Command("sh", "-c", "exec "+s.Run)
				strict.Dir = dir
				peertest.Strict(t, strict, "unsupported")
			}
		})
	}
	runs(t, result{2, "…", "…c, go, rust, python…"}, "interop", "new-peer", "cobol")
}

// A skeleton passes the scenarios once its two functions are replaced by those in testdata/library, which call
// sendmsg and recvmsg. In the other languages, our own peers contain the skeleton, and make interop runs them in every
// scenario. TestNewPeerTest tests the skeleton in Rust.
func TestNewPeerWithLibrary(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: a run without it tests the skeletons, and neither the user nor the backend matters")
	}
	for language, file := range map[string]string{"go": "library.go", "javascript": "library.js"} {
		t.Run(language, func(t *testing.T) {
			s, err := peers.FindSkeleton(language)
			fdtest.Must(t, err)
			dir, functions := t.TempDir(), contents(t, filepath.Join("testdata/library", file))
			if language == "go" {
				_, functions, _ = strings.Cut(functions, "import \"syscall\"\n")
			} else {
				s.Build = append(s.Build, "cc -shared -fPIC -o library.node "+absolute(t, "testdata/library/node.c"))
			}
			buildPeer(t, s, dir, functions)
			commandsByHand(t, s, dir, "err ENOTSOCK")
			peer := "mine=env -C " + dir + " " + s.Run
			runs(t, result{0, "mine: ok, …", ""}, "interop", "smoke", "--builtin=false", "--peer", peer, "--timeout", "1m")
			runs(t, result{0, "…\nmine: of … cases, … passed; no verdict in …", "…"}, "interop", "run", "--builtin=false", "--peer", peer, "--timeout", "1m",
				"--run", "{basics,truncation}/**/{mine/runner,runner/mine}")
		})
	}
}

// The tests for a crate find a fault, pass if a list contains it, print why cases have no verdict, and fail in CI
// without scm.
func TestNewPeerTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rust, err := peers.FindSkeleton("rust")
	fdtest.Must(t, err)
	peer := withLibrary(t, string(rust.Text), strings.ReplaceAll(contents(t, "testdata/library/library.rs"), "&mut message, MSG_CMSG_CLOEXEC", "&mut message, 0"))
	for name, text := range map[string]string{
		"Cargo.toml": "[package]\nname = \"mine\"\nedition = \"2021\"\n", "src/lib.rs": "", "examples/peer.rs": peer,
		"tests/interop.rs": command(t, "interop", "new-peer", "rust", "--test").stdout,
	} {
		file := filepath.Join(dir, name)
		fdtest.Must(t, errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)))
	}
	test := func(name string, passes bool, want string, env ...string) {
		t.Helper()
		cmd := exec.Command(fdtest.Program(t, "cargo"), append([]string{"test", "--offline", "--test", "interop"}, strings.Fields(name)...)...)
		cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "CARGO_TARGET_DIR="+dir, "CARGO_PROFILE_DEV_DEBUG=0", "CARGO_INCREMENTAL=0", "SCM_PROGRAM="+program(t, "scm")), env...)
		if r := finish(t, cmd); (r.code == 0) != passes || !strings.Contains(r.text(), want) {
			t.Errorf("%v %s: got %d\n%s", env, name, r.code, r.text())
		}
	}
	rustc, err := exec.Command(fdtest.Program(t, "rustc"), "-vV").Output()
	fdtest.Must(t, err)
	_, host, _ := strings.Cut(string(rustc), "host: ")
	test("--target "+strings.Fields(host)[0]+" -- basics truncation", false, " does: mine receives descriptors without close-on-exec, so child processes inherit them\n")
	fdtest.Must(t, os.WriteFile(filepath.Join(dir, "tests/interop-expected.txt"), []byte("** cloexec@mine it passes no flags\nbasics/gone leak@mine it was removed\n"), 0o600))
	test("-- basics truncation every_group_has_a_test", true, "3 passed")
	test("-- basics truncation", true, "tests/interop-expected.txt:2: basics/gone leak@mine applies to no case: no scenario matches \"gone\"\n")
	test("basics", true, " of its 701 cases: not selected (")
	none := filepath.Join(dir, "none") // no case of the group
	fdtest.Must(t, os.WriteFile(none, []byte("#!/bin/sh\nexec "+program(t, "scm")+" \"$@\" --skip '**'\n"), 0o700))
	test("limits", true, "limits: mine: no case has a verdict; no verdict in ", "SCM_PROGRAM="+none)
	test("", false, "Install it, or set SCM_PROGRAM", "SCM_PROGRAM=/none", "CI=true")
	test("", true, "did not run: no program /none\n", "SCM_PROGRAM=/none", "CI=")
	runs(t, result{2, "…", "…only with rust…"}, "interop", "new-peer", "c", "--test")
}

// writePeer writes what new-peer prints to a file.
func writePeer(t *testing.T, language, file string) {
	t.Helper()
	r := command(t, "interop", "new-peer", language)
	if err := os.WriteFile(file, []byte(r.stdout), 0o600); err != nil || r.code != 0 {
		t.Fatalf("new-peer %s: %+v, %v", language, r, err)
	}
}

// buildPeer writes a peer to a folder, and builds it there as the header of its skeleton says. If there are
// functions, they replace those of the skeleton.
func buildPeer(t *testing.T, s peers.Skeleton, dir, functions string) {
	t.Helper()
	var tools []string
	for _, c := range append(s.Build, s.Run) {
		tools = append(tools, strings.Fields(c)[0])
	}
	if s.Language == "java" {
		tools = append(tools, "javac") // a runtime alone does not run a source file
	}
	for _, name := range tools {
		if !strings.HasPrefix(name, "./") {
			fdtest.Program(t, name)
		}
	}
	file := filepath.Join(dir, s.File)
	writePeer(t, s.Language, file)
	if functions != "" {
		fdtest.Must(t, os.WriteFile(file, []byte(withLibrary(t, contents(t, file), functions)), 0o600))
	}
	for _, c := range s.Build {
		inDir(t, dir, c)
	}
}

// inDir runs a shell command in a directory. It must succeed.
func inDir(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

var stub = regexp.MustCompile(`\blibrary_?([sS]end|[rR]ecv)\(`)

// withLibrary replaces the two functions of a skeleton. Each is the first paragraph that has its name.
func withLibrary(t *testing.T, text, functions string) string {
	t.Helper()
	seen := map[string]bool{}
	var all []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		name := strings.ToLower(stub.FindString(paragraph))
		switch {
		case name == "" || seen[name]:
			all = append(all, paragraph)
		case len(seen) == 0:
			all = append(all, strings.Trim(functions, "\n"))
			fallthrough
		default:
			seen[name] = true
		}
	}
	if len(seen) != 2 {
		t.Fatalf("the functions are %v", seen)
	}
	return strings.Join(all, "\n\n")
}

// commandsByHand gives a peer the commands that the contract shows under "By hand", and compares its answers with
// those that the contract shows. Its answer to send must be the one given. An errno may be a number.
func commandsByHand(t *testing.T, s peers.Skeleton, dir, send string) {
	t.Helper()
	_, section, _ := strings.Cut(string(peers.Contract), "\n## By hand\n")
	section, _, _ = strings.Cut(section, "\n## ")
	lines := regexp.MustCompile(`(?m)^    (.*)$`).FindAllStringSubmatch(section, -1)
	if len(lines) != 7 {
		t.Fatalf("the contract shows %d lines by hand", len(lines))
	}
	var commands, answers []string
	for i, line := range lines[1:] {
		if i%2 == 0 {
			commands = append(commands, line[1])
		} else {
			answers = append(answers, line[1])
		}
	}
	_, redirection, _ := strings.Cut(lines[0][1], " build/peers/csrc ")
	peer := exec.Command("sh", "-c", s.Run+" "+redirection)
	peer.Dir = dir
	peer.Env = append(os.Environ(), "JDK_JAVA_OPTIONS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC") // half the processor time
	peer.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	r := finish(t, peer)
	got := strings.Split(r.stdout, "\n")
	if r.code != 0 || len(got) != len(answers)+1 {
		t.Fatalf("%q: got %+v, want %d answers", peer.Args, r, len(answers))
	}
	for i, want := range answers {
		switch verb, _, _ := strings.Cut(commands[i], " "); verb {
		case "hello":
			// The contract shows the answer of a different peer.
			hello, err := contract.ParseHello(got[i])
			shown, wrong := contract.ParseHello(want)
			if err != nil || wrong != nil || hello.Lang != s.Language || hello.Version == "" || len(hello.Can) == 0 {
				t.Errorf("answered %q to %q, %v %v, the contract shows %+v", got[i], commands[i], err, wrong, shown)
			}
			continue
		case "send":
			if want != "err 88" {
				t.Errorf("the contract shows the answer %q to %q", want, commands[i])
			}
			want = send
		}
		if contract.NameErrno(got[i]) != want {
			t.Errorf("answered %q to %q, want %q", got[i], commands[i], want)
		}
	}
}

// absolute returns the absolute path of a file of this package.
func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	fdtest.Must(t, err)
	return path
}

// The errors and completions that a new user is likely to see.
func TestFirstSteps(t *testing.T) {
	plain, none := write(t, "text"), filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--version"}, 0, ", backend "},
		{[]string{"send", plain, plain}, 1, plain + ": connect: connection refused: it exists and is not a socket\n"},
		{[]string{"send", none, plain}, 1, "no such file or directory: no process listens there (use --timeout to wait for one)\n"},
		{[]string{"interop", "show", "basics"}, 0, "basics/pass-one-fd\n"},
		{[]string{"interop", "smoke", "python3 peer.py"}, 2, `--peer mine="python3 peer.py"`},
		{[]string{"__complete", "interop", "show", "basics/pass-o"}, 0, "basics/pass-one-fd\n"},
		{[]string{"__complete", "interop", "run", "--run", "basics/pass-o"}, 0, "basics/pass-one-fd\n"},
		{[]string{"__complete", "interop", "new-peer", "py"}, 0, "python\n"},
		{[]string{"__complete", "recv", "--format", "run"}, 0, "runc\n"},
		{[]string{"__complete", "send", "--type", "seq"}, 0, "seqpacket\n"},
	} {
		if r := command(t, c.args...); r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.want) {
			t.Errorf("%q: got %+v, want %q", c.args, r, c.want)
		}
	}
}

// pythonPeer writes the Python skeleton and the adapter for recv_fds, followed by more code, and returns the
// command that runs it. Unlike that adapter, it makes the received descriptors close-on-exec.
func pythonPeer(t *testing.T, more string) string {
	t.Helper()
	fdtest.Program(t, "python3")
	dir := t.TempDir()
	writePeer(t, "python", filepath.Join(dir, "peer.py"))
	const folder, serve = "../../interop/peers/python/", "SendFDs().serve()\n"
	adapter, found := strings.CutSuffix(contents(t, folder+"send_fds.py"), serve)
	if !found {
		t.Fatalf("send_fds.py does not end with %q", serve)
	}
	const closing = `
import os
from peer import Unsupported

class Mine(SendFDs):
    def library_recv(self, *args):
        payload, fds, flags = super().library_recv(*args)
        for fd in fds:
            os.set_inheritable(fd, False)
        return payload, fds, flags

`
	for name, text := range map[string]string{
		"borrowed.py": contents(t, folder+"borrowed.py"),
		"mine.py":     adapter + closing + more + "\nMine().serve()\n",
	} {
		fdtest.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return "python3 -B " + filepath.Join(dir, "mine.py")
}
