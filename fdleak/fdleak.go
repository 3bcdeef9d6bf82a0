// Package fdleak fails tests that leave a file descriptor open.
//
// [Check] checks one test, and [Main] checks all tests of a package together:
//
//	func TestServer(t *testing.T) {
//		fdleak.Check(t)
//		…
//	}
//
//	func TestMain(m *testing.M) { fdleak.Main(m) }
//
// In a Ginkgo suite, call fdleak.Check(GinkgoTB()) in a BeforeEach or at the start of an It.
//
// The failure message lists each descriptor and describes its file, with its kind and path or, for a
// socket, its addresses. If package scm, framed, wire or fdchannel received the descriptor, the message
// also names the function that received it and the line that called this function:
//
//	fdleak: the test left 2 descriptors open:
//	    7: regular file /tmp/log (write-only)
//	        received by scm.(*Conn).ReadFiles, called at /src/server_test.go:31
//	    9: Unix stream socket without a name, peer /run/server.sock of process 4711
//
// # What counts as left open
//
// A descriptor counts as left open if it was not open at the start, is open at the end, and refers to the same file for
// five more seconds, not counting the time in which the process is stopped. This includes a second descriptor for a
// file that was open at the start. The delay gives goroutines time to close their files. In a bubble of
// testing/synctest, the check waits for five seconds of real time too. If a test leaves nothing open, the check does
// not wait. Before a test ends, it should close idle HTTP connections ([net/http.Client.CloseIdleConnections]) and wait
// for the processes that it started ([os/exec.Cmd.Wait]).
//
// While the check waits, it looks at the descriptors every tenth of a second or more often. It stops counting a
// descriptor that has been closed or refers to another file. Therefore, it does not find:
//   - a file that a goroutine opens after the end, even if it stays open
//   - a file that is moved to another descriptor during the five seconds
//
// The check looks only at the descriptor table of the thread that it runs on. A thread that has called unshare(2) with
// CLONE_FILES has a table of its own. The check does not see files that stay open without a descriptor: the fixed files
// of an io_uring, files that are mapped into memory, and files in a message that has not been received.
//
// A file that is closed and opened again under the same descriptor looks the same to the check, and so do anonymous
// files of one kind, such as eventfds. They count as left open, unless the check looks while the descriptor is closed.
//
// An [os.File] or a connection that the program can no longer reach also counts, because it stays open
// until the garbage collector runs. If the collector happens to run earlier and closes the file, the check does not
// report it.
//
// The check compares how many descriptors each file has. If a file that was open at the start has lost a descriptor and
// gained another one, it has only changed its descriptor, and the check ignores it (except for an anonymous file, such
// as an eventfd). The check also ignores files of the runtime and of package testing (-cpuprofile, -trace), and pipes
// that [io.Copy] keeps for later copies between sockets: if only pipes with the capacity of those are left, the check
// runs the garbage collector, which closes them. (If Linux makes new pipes smaller, because the user has too many,
// those pipes count too: see pipe-user-pages-soft in pipe(7).) If a library opens a file once and keeps it open, the
// file counts against the test that was running when the library opened it. To avoid that, make the library open the
// file before the check starts.
//
// # Systems
//
// The check needs Linux and /proc. Without these, no descriptor makes a test fail, and Check (with
// -v) and Main print that descriptors are not checked.
package fdleak

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Check fails t if the test leaves descriptors open. Call it at the start of the test.
//
// Check examines the descriptors after all subtests have ended. Functions that the test registered with
// t.Cleanup after it called Check run before that. If the test has failed, Check does not examine the
// descriptors, because [testing.T.FailNow] may have skipped a Close.
//
// Descriptors belong to the whole process. In a parallel test, or a test with a parallel ancestor, Check
// therefore calls t.Fatal. To check parallel subtests, call Check in their parent. In all other cases, use
// [Main]. Check sets the environment variable FDLEAK with t.Setenv, so that a later call to t.Parallel
// panics.
func Check(t testing.TB) {
	t.Helper()
	refuseParallel(t)
	if reason := unchecked(); reason != "" {
		t.Log("fdleak: descriptors are not checked: " + reason)
		return
	}
	before := take()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return
		}
		if left := before.wait(); left != "" {
			t.Error("fdleak: the test left " + left)
		}
	})
}

// refuseParallel ends a parallel test. Package testing has no function that reports whether a test
// is parallel, but Setenv panics in one, and Parallel panics after Setenv.
func refuseParallel(t testing.TB) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() != nil {
			t.Fatal("fdleak: Check cannot be used in a parallel test, because descriptors belong to the whole process: call it in a parent that is not parallel, or use Main")
		}
	}()
	t.Setenv("FDLEAK", "")
}

// Main runs the tests of a package, including parallel tests, and ends the process with their exit code. If they pass
// but leave descriptors open, Main lists these on standard error, and the exit code is 1.
//
// Call Main in TestMain. m is the [*testing.M], or a wrapper whose Run method does extra work before and after M.Run.
func Main(m interface{ Run() int }) {
	if reason := unchecked(); reason != "" {
		fmt.Fprintln(os.Stderr, "fdleak: descriptors are not checked: "+reason)
		os.Exit(m.Run())
	}
	before := take()
	code := m.Run()
	if code == 0 {
		if left := before.wait(); left != "" {
			fmt.Fprintln(os.Stderr, "fdleak: the tests left "+left)
			code = 1
		}
	}
	os.Exit(code)
}

// ofTesting reports whether a file is the CPU profile or the trace, which package testing never closes.
func ofTesting(name string) bool {
	return slices.ContainsFunc([]string{"test.cpuprofile", "test.trace"}, func(option string) bool {
		f := flag.Lookup(option)
		return f != nil && f.Value.String() != "" && filepath.Base(f.Value.String()) == filepath.Base(name)
	})
}
