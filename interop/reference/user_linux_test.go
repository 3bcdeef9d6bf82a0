package reference

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// userArgument makes the test program print the user who is named after process 5.
const userArgument = "scm-test-user"

func init() {
	if len(os.Args) == 2 && os.Args[1] == userArgument {
		fmt.Println(userOfProcess(5))
		_, _ = io.Copy(io.Discard, os.Stdin) // the number of a namespace that is gone is used again
		os.Exit(0)
	}
}

// A user who is named after a process is nobody else's, in another PID namespace either,
// and no user of a list.
func TestUserOfAProcess(t *testing.T) {
	residues := map[uint64]bool{residue(t, os.Getpid()): true}
	users := map[string]int{fmt.Sprint(userOfProcess(5)): 1, fmt.Sprint(userOfProcess(6)): 1}
	for range 2 {
		cmd := exec.Command("/proc/self/exe", userArgument)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Skipf("no PID namespace can be had here: %v", err)
		}
		defer func() {
			in.Close()
			_ = cmd.Wait() // its answer is what counts
		}()
		user, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		users[strings.TrimSpace(user)]++
		residues[residue(t, cmd.Process.Pid)] = true
	}
	// One for each namespace, and one for process 6. Two namespaces can have the same residue.
	if len(users) != len(residues)+1 {
		t.Errorf("got %v of namespaces %v", users, residues)
	}
	for _, pid := range []int{1, 1<<22 - 1} {
		if uid := userOfProcess(pid); uid < userOf || uid > 1<<31-1 {
			t.Errorf("process %d is user %d", pid, uid)
		}
	}
}

// residue is what userOfProcess takes of the number of a process's PID namespace.
func residue(t *testing.T, pid int) uint64 {
	t.Helper()
	var namespace syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Ino % ((1<<31 - userOf) >> 22)
}
