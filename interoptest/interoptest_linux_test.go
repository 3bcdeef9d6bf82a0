package interoptest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A faulty library is scm with a fault.
type faulty struct {
	peer.Socket
	fault string
}

func (f faulty) Recv(r peer.Room) (peer.Received, error) {
	got, err := f.Socket.Recv(r)
	switch {
	case f.fault == "cloexec":
		for _, fd := range got.FDs {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		}
	case f.fault == "answer":
		got.N++
	case r.FDs < 2:
	case f.fault == "panic":
		panic("planted")
	case strings.HasPrefix(f.fault, "hang"):
		time.Sleep(time.Hour)
	}
	return got, err
}

// TestMain prints to standard output, as tests of other modules may, also in a process that is a peer.
func TestMain(m *testing.M) {
	fdtest.UseShortTemp()
	println("TestMain")
	_, _ = os.Stdout.WriteString("TestMain\n")
	os.Exit(m.Run())
}

// TestLibrary is the test of an author. The other tests run it in other processes, with a fault.
func TestLibrary(t *testing.T) {
	fdleak.Check(t)
	lib, fault := builtin.SCM(), os.Getenv("FAULT")
	lib.Name, lib.Version = cmp.Or(os.Getenv("NAME"), "mine"), os.Getenv("VERSION")+"1"
	lib.Can, lib.Room = cmp.Or(os.Getenv("CAN"), lib.Can), os.Getenv("ROOM")
	open := lib.Open
	lib.Open = func(sock int) (peer.Socket, error) {
		s, err := open(sock)
		if fault == "unsupported" {
			err = peer.ErrUnsupported
		}
		return faulty{s, fault}, err
	}
	if fault == "hangs" {
		timeout = time.Second
	}
	if lib.Name == "changes" {
		lib.Name = fmt.Sprint("process", os.Getpid())
	}
	t.Setenv(peers.PartnersVariable, os.Getenv("PARTNERS")) // those of make test run in the suite of package scm
	Run(t, lib, filepath.SplitList(os.Getenv("FILES"))...)
	if os.Getenv("MORE") != "" {
		lib.Name, fault = "two", "answer"
		Run(t, lib)
		t.Run("basics", func(t *testing.T) {
			lib.Name, fault = "three", "cloexec"
			Run(t, lib)
		})
	}
}

// author runs TestLibrary with these arguments. If there is a signal, it runs TestLibrary as another user, if it can,
// and sends the signal at a case. It checks that nothing is left, and returns the output and how the process ended.
func author(t *testing.T, env []string, signal syscall.Signal, args ...string) (string, *os.ProcessState) {
	t.Helper()
	temp := fdtest.ShortDir(t)
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.v", "-test.run=^TestLibrary$"}, args...)...)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+temp), env...)
	if os.Getuid() == 0 && signal != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = os.Chmod(temp, 0o777)
	}
	if err == nil {
		err = cmd.Start()
	}
	fdtest.Must(t, err)
	var text strings.Builder
	lines := bufio.NewReader(io.TeeReader(out, &text))
	for err == nil {
		var line string
		line, err = lines.ReadString('\n')
		if signal != 0 && strings.HasPrefix(line, "=== RUN   TestLibrary/blocking") {
			_ = cmd.Process.Signal(signal)
		}
	}
	_ = cmd.Wait()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environments {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "TMPDIR="+temp+"\x00") {
			t.Errorf("left process %s", file)
		}
	}
	return text.String(), cmd.ProcessState
}

// Run says what is wrong in words, or ends early, and leaves nothing behind.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		env    string
		args   []string
		signal syscall.Signal
		want   string
	}{
		"built in":    {"FAULT=cloexec NAME=qa", []string{"-test.run=^TestLibrary$/basics"}, 0, "cloexec@qa: a received descriptor is not close-on-exec\n"},
		"panic":       {"FAULT=panic", []string{"-test.run=^TestLibrary$/basics/pass-two-fds/stream"}, 0, "panic: planted"},
		"unsupported": {"FAULT=unsupported", nil, 0, "mine answers ErrUnsupported to every send and every recv\n"},
		"no files":    {"CAN=stream ROOM=0,0", nil, 0, "no case that mine supports passes a descriptor\n"},
		"hangs":       {"FAULT=hangs", nil, 0, "mine was not run after hangs: "},
		"timeout":     {"FAULT=hang", []string{"-test.timeout=15s"}, 0, "-timeout is near\n"},
		"SIGINT":      {"FAULT=", nil, syscall.SIGINT, " cases: interrupt\n"},
		"SIGTERM":     {"FAULT=", nil, syscall.SIGTERM, " cases: terminated\n"},
		"a name":      {"NAME=kernel", nil, 0, `Library.Name is "kernel": choose `},
		"names":       {"NAME=changes", nil, 0, "TestLibrary#1, in another process, is process"},
		"our name":    {"PARTNERS=testdata/mine.json", nil, 0, `SCM_PARTNERS: testdata/mine.json: the peer name "mine" is reserved: choose another name`},
		"SCM_PEERS":   {"SCM_PEERS=testdata/mine.json", nil, 0, "SCM_PEERS is set: the variable for a list of partners is SCM_PARTNERS\n"},
		"a version":   {"VERSION=v FILES=testdata/version.txt", nil, 0, `:1: ** leak@mine<2 selects nothing: the version of mine is "v1" here`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, state := author(t, strings.Fields(c.env), c.signal, c.args...)
			status, _ := state.Sys().(syscall.WaitStatus)
			ended := c.signal == 0 || status.Signal() == c.signal && strings.Count(text, c.want) <= 4 // no further cases
			if !strings.Contains(text, c.want) || state.Success() || !ended {
				t.Errorf("%v, no %q in\n%s", state, c.want, text)
			}
		})
	}
}

// Without -v, the first case of a cause fails with its transcript. The others are skipped, and the sum counts them.
func TestOneFault(t *testing.T) {
	t.Parallel()
	text, state := author(t, []string{"FAULT=cloexec", "CAN=dgram"}, 0, "-test.v=false")
	sum := regexp.MustCompile(`mine breaks 1 rule \(cloexec\) in [0-9]{2,} of [0-9]+ cases; no verdict in [0-9]+ of its [0-9]+ cases: no stream \([0-9]+\), no seqpacket \([0-9]+\)`)
	if state.Success() || strings.Count(text, "--- FAIL: TestLibrary/") != 1 || !sum.MatchString(oneLine(text)) || strings.Count(text, "\n") > 40 {
		t.Errorf("%v, want one subtest that fails, %s, and at most 40 lines:\n%s", state, sum, text)
	}
}

// Each call of Run in a test tests its own library, also when the test runs again.
func TestCalls(t *testing.T) {
	t.Parallel()
	text, _ := author(t, []string{"MORE=1", "CAN=stream"}, 0, "-test.short", "-test.count=2",
		"-test.run=^TestLibrary$/^basics$/^(pass-one-fd|basics)$/^(stream|pass-one-fd)$")
	found := regexp.MustCompile(`[a-z]+ breaks 1 rule`).FindAllString(text, -1)
	if want := slices.Repeat([]string{"two breaks 1 rule", "three breaks 1 rule"}, 2); !slices.Equal(found, want) {
		t.Errorf("found %q, want %q, in\n%s", found, want, text)
	}
}

// oneLine joins the lines of a text that may have been wrapped.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// The list of expected failures is made by a whole run, and then the test passes as long as it is right. A library for
// datagrams alone has few cases.
func TestUpdate(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the user makes no difference to the list")
	}
	t.Parallel()
	dir := t.TempDir()
	file, list := filepath.Join(dir, "new", "list"), filepath.Join(dir, "peers")
	scm := []string{os.Args[0], builtin.Argument, builtin.SCM().Name}
	fdtest.Must(t, peers.WriteList(list, []peers.Built{{Name: "other", Command: scm}, {Name: "absent", Why: "not here"}}))
	const update, basics = "SCM_INTEROP_UPDATE=1", "-test.run=^TestLibrary$/basics"
	run := func(passes bool, want, env string, args ...string) {
		t.Helper()
		all := append([]string{"CAN=dgram", "FAULT=cloexec", "FILES=" + file, "PARTNERS=" + list}, strings.Fields(env)...)
		text, state := author(t, all, 0, args...)
		if state.Success() != passes || !strings.Contains(oneLine(text), oneLine(want)) {
			t.Errorf("%s %q: %v, no %q in\n%s", env, args, state, want, text)
		}
	}
	run(false, ": no such file or directory ("+update+" go test creates the last file)\n", "")
	run(false, update[:18]+": nothing was written: -short left out partners\n", update, "-test.short", basics)
	run(false, "nothing was written: -run, -skip or -failfast left out cases\n", update, basics)
	run(false, "for example -run '^TestLibrary$/^basics$/^bidirectional-simultaneous$/^dgram$/^sends$/^runner$'\n", update)
	run(false, ":2: unfinished reason: ? receives descriptors", "", basics)
	text, err := os.ReadFile(file)
	if want := "# Expected failures: SCENARIO CHECK@PEER REASON\n** cloexec@mine ? " + scenario.Faults[scenario.CheckCloexec] + ": a received descriptor is not close-on-exec\n"; string(text) != want || err != nil {
		t.Fatalf("got %q, %v", text, err)
	}
	fdtest.Must(t, os.WriteFile(file, []byte("** {leak,cloexec}@mine it is planted\n"), 0o600))
	run(true, "+ ** cloexec@mine it is planted\n", update) // no reason is to be completed
	run(true, ": fails as expected: it is planted\n", "", basics)
	run(true, "/echo-back/dgram/sends/other ", "", basics)
	run(true, "partner absent: not here\n", "", "-test.short", basics)
	run(true, "; no verdict in ", "", "-test.short", basics)
	fdtest.Must(t, os.WriteFile(file, []byte("basics/gone leak@mine a\nbasics/{gone,echo-back} cloexec@mine b\n** cloexec@{mine,old} it is planted\n"), 0o600))
	run(true, ":1: basics/gone leak@mine applies to no case: no scenario matches \"gone\"\n", "", basics)
	run(false, `:3: ** cloexec@old applies to no case: no peer is named "old"`, "")
	run(true, "- ** cloexec@old it is planted\n", update)
	if text, err := os.ReadFile(file); string(text) != "basics/echo-back cloexec@mine b\n** cloexec@mine it is planted\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	run(false, "expected to fail, but does not: "+file+":1: basics/echo-back cloexec@mine; "+file+":2: ** cloexec@mine\n", "FAULT=", basics)
	run(true, "- ** cloexec@mine it is planted\n", "FAULT= "+update)
	run(true, "PASS", "FAULT=", basics)
}
