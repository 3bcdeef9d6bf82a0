package fdleak_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "scm-fdleak-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "toy.test")
	fdleak.Main(suite{m, folder})
}

// suite removes the folder of the toy after the tests.
type suite struct {
	*testing.M
	folder string
}

func (s suite) Run() int {
	defer os.RemoveAll(s.folder)
	return s.M.Run()
}

// binary is the path of the test binary of testdata/toy.
var binary string

// goTest runs the go command's test of the toy, and keeps its binary as output.
func goTest(output string, args ...string) (string, error) {
	args = append([]string{"test", "-o", output}, args...)
	if scm.Backend == "purego" {
		args = append(args, "-tags=scm_purego")
	}
	out, err := exec.Command("go", append(args, "./testdata/toy")...).CombinedOutput()
	return string(out), err
}

var build = sync.OnceValue(func() error {
	if out, err := goTest(binary, "-c"); err != nil {
		return errors.Join(err, errors.New(out))
	}
	return nil
})

// A result is what a run of the toy printed, and whether it passed.
type result struct {
	out    string
	passed bool
}

// toy runs the toy. The garbage collector, which would close a leaked os.File, is off.
func toy(t *testing.T, args ...string) result {
	t.Helper()
	if fdtest.Emulator() != "" {
		t.Skip(fdtest.OwnFiles)
	}
	fdtest.Must(t, build())
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "GOGC=off")
	out, err := cmd.CombinedOutput()
	return result{string(out), err == nil}
}

// run runs each of the tests in a process of its own, all at once: those that leak wait for some seconds.
func run(t *testing.T, tests ...string) []result {
	t.Helper()
	toy(t, "-test.list=.") // builds it, or ends the test
	results := make([]result, len(tests))
	var all sync.WaitGroup
	for i, test := range tests {
		all.Add(1)
		go func() {
			defer all.Done()
			results[i] = toy(t, "-test.run="+test)
		}()
	}
	all.Wait()
	return results
}

// line returns the line of the toy with a comment.
func line(t *testing.T, comment string) int {
	t.Helper()
	source, err := os.ReadFile("testdata/toy/leaks_test.go")
	fdtest.Must(t, err)
	before, _, found := strings.Cut(string(source), " // "+comment+"\n")
	if !found {
		t.Fatalf("no line has the comment %q", comment)
	}
	return strings.Count(before, "\n") + 1
}

func TestCheck(t *testing.T) {
	const (
		null     = `character device /dev/null \(read-only\)`
		received = `received by `
		same     = `the same socket was received by `
	)
	cases := []struct{ leak, file, call string }{
		{"regular", `regular file /.*/file \(deleted\) \(read-write\)`, ""},
		{"directory", `directory / \(read-only\)`, ""},
		{"pipe, both ends", `read end of pipe:\[\d+\]\n +\d+: write end of pipe:\[\d+\]`, ""},
		{"pipe of 1 MiB", `read end of pipe:\[\d+\]\n +\d+: write end of pipe:\[\d+\]`, ""},
		{"fifo", `pipe /.*/fifo \(deleted\) \(read-write\)`, ""},
		{"memfd", `memfd scm memfd`, ""},
		{"eventfd", `eventfd`, ""},
		{"epoll", `eventpoll`, ""},
		{"pidfd", `pidfd of process \d+`, ""},
		{"process without Wait", `pidfd of a process that has ended`, ""},
		{"device", null, ""},
		{"tcp listener", `IPv4 stream socket 127\.0\.0\.1:\d+, listening`, ""},
		{"tcp connection", `IPv4 stream socket 127\.0\.0\.1:\d+, peer 127\.0\.0\.1:\d+`, ""},
		{"udp", `IPv4 datagram socket 127\.0\.0\.1:\d+, not connected`, ""},
		{"unix connection", `Unix stream socket without a name, peer @scm-fdleak-\d+ of process \d+ \(this one\)`, ""},
		{"unix pair", `Unix seqpacket socket without a name, peer without a name of process \d+ \(this one\)`, ""},
		{"one of two duplicates", null, ""},

		{"ReadFD", null, received + `scm.ReadFD`},
		{"Recv", null, received + `scm.Recv`},
		{"PIDFD", `pidfd of process \d+`, received + `scm.Recv`},
		{"Conn.Recv", null, received + `scm.(*Conn).Recv`},
		{"Conn.Recv with credentials", null, received + `scm.(*Conn).Recv`},
		{"ReadFiles", null, received + `scm.(*Conn).ReadFiles`},
		{"RecvFile", null, received + `scm.(*Conn).RecvFile`},
		{"RecvFile in TempDir", `regular file /.*/file \(deleted\) \(read-write\)`, received + `scm.(*Conn).RecvFile`},
		{"RecvFile of an epoll", `eventpoll`, received + `scm.(*Conn).RecvFile`},
		{"RecvConn", `Unix seqpacket socket without a name, peer without a name of process \d+ \(this one\)`, same + `scm.(*Conn).RecvConn`},
		{"RecvListener", `IPv4 stream socket 127\.0\.0\.1:\d+, listening`, same + `scm.(*Conn).RecvListener`},
		{"framed", null, received + `framed.(*Reader).Read`},
		{"fdchannel", null, received + `fdchannel.(*Endpoint).RecvFD`},
	}
	var tests []string
	for _, c := range cases {
		tests = append(tests, "^TestLeak$/^"+strings.ReplaceAll(c.leak, " ", "_")+"$")
	}
	results := run(t, tests...)
	for i, c := range cases {
		t.Run(c.leak, func(t *testing.T) {
			out, passed := results[i].out, results[i].passed
			if strings.Contains(out, "operation not supported") || strings.Contains(out, "protocol not available") {
				t.Skip("no SO_PASSPIDFD")
			}
			want := `: fdleak: the test left \d descriptors? open:\n +\d+: ` + c.file + `\n`
			if c.call != "" {
				want += ` +` + regexp.QuoteMeta(c.call) + `, called at .*/leaks_test\.go:` + fmt.Sprint(line(t, c.leak)) + `\n`
			}
			if passed || !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("want %s, got:\n%s", want, out)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	const misuse = "fdleak: Check cannot be used in a parallel test, because descriptors belong to the whole process: call it in a parent that is not parallel, or use Main\n"
	cases := []struct{ test, want string }{
		{"TestLeakReplaced", "fdleak: the test left 1 descriptor open:\n…: character device /dev/full (read-only)\n"},
		{"TestLeakBesideReplaced", "fdleak: the test left 1 descriptor open:\n…: memfd scm beside\n"},
		{"TestLeakWithoutCheck", "PASS\nfdleak: the tests left 1 descriptor open:\n…: memfd scm main\n"},
		{"TestParallelCheck", misuse},
		{"TestParallelParent", misuse},
		{"TestParallelAfterCheck", "panic: testing: …t.Setenv"},
	}
	var tests []string
	for _, c := range cases {
		tests = append(tests, "^"+c.test+"$")
	}
	results := run(t, tests...)
	for i, c := range cases {
		want := strings.ReplaceAll(regexp.QuoteMeta(c.want), "…", ".*")
		if r := results[i]; r.passed || !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("%s: want %q, got:\n%s", c.test, c.want, r.out)
		}
	}
}

func TestFailedTestIsNotChecked(t *testing.T) {
	r := toy(t, "-test.run=^TestFails$")
	if r.passed || !strings.Contains(r.out, "this test fails") || strings.Contains(r.out, "fdleak") {
		t.Errorf("got:\n%s", r.out)
	}
}

func TestGoTest(t *testing.T) {
	for _, c := range []struct{ want, flags string }{
		{"received by framed.(*Reader).Read, called at github.com/scm-rights/scm/fdleak/testdata/toy/leaks_test.go:" + fmt.Sprint(line(t, "framed")), "-trimpath -run=^TestLeak$/^framed$"},
		{"fdleak: the tests left 1 descriptor open:", "-run=^TestLeakWithoutCheck$"},
	} {
		t.Run(c.flags, func(t *testing.T) {
			out, err := goTest(os.DevNull, append(strings.Fields(c.flags), "-count=1")...)
			if err == nil || !strings.Contains(out, c.want+"\n") || !strings.HasSuffix(out, "\nFAIL\n") {
				t.Errorf("want %q, got %v\n%s", c.want, err, out)
			}
		})
	}
}

func TestCorrectPrograms(t *testing.T) {
	if fdtest.Emulator() != "" {
		t.Skip(fdtest.OwnFiles)
	}
	dir := fdtest.ShortDir(t)
	t.Run("go test with profiles", func(t *testing.T) {
		args := []string{"-v", "-count=1", "-run=Correct", "-outputdir=" + dir}
		for _, profile := range []string{"cover", "cpu", "mem", "block", "mutex"} {
			args = append(args, "-"+profile+"profile="+profile)
		}
		out, err := goTest(os.DevNull, append(args, "-trace=trace")...)
		if err != nil || strings.Contains(out, "fdleak:") || strings.Count(out, "\n--- PASS: TestCorrect") < 11 {
			t.Errorf("ended with %v, want 11 tests that pass and no report of fdleak:\n%s", err, out)
		}
	})
	for _, c := range []string{
		"-test.run=^TestCorrectPoller$",
		"-test.run=Correct -test.testlogfile=" + filepath.Join(dir, "log"),
		"-test.run=Correct -test.count=3",
		"-test.run=Correct -test.outputdir=" + dir + " -test.cpuprofile=cpu -test.trace=trace",
		"-test.list=.",
		"-test.run=^$ -test.fuzz=FuzzCorrect -test.fuzztime=20x -test.fuzzcachedir=" + dir,
	} {
		t.Run(c, func(t *testing.T) {
			t.Setenv("GODEBUG", "netdns=cgo")
			if r := toy(t, strings.Fields(c)...); !r.passed || strings.Contains(r.out, "fdleak:") {
				t.Errorf("got:\n%s", r.out)
			}
		})
	}
}
