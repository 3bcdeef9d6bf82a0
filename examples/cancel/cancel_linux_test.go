package main

import (
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

// The first signal cannot end a write to a pipe that is full. The second one ends the program.
func TestSignalDuringWrite(t *testing.T) {
	if fdtest.Emulator() != "" {
		t.Skip(fdtest.HostCalls)
	}
	p := make([]int, 2)
	fdtest.Must(t, unix.Pipe2(p, unix.O_CLOEXEC))
	defer scm.CloseFDs(p...)
	size := program.Must(unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0))
	program.Must(unix.Write(p[1], make([]byte, size)))
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	cmd := program.Command(path)
	stdout := program.Must(scm.NewFile(program.Must(unix.FcntlInt(uintptr(p[1]), unix.F_DUPFD_CLOEXEC, 0)), "pipe"))
	defer func() { _ = stdout.Close() }()
	cmd.Stdout = stdout
	server := program.Start(t, cmd)
	fdtest.Eventually(t, "the program writes", func() bool {
		return slices.ContainsFunc(program.Must(procfs.Tasks(server.PID)), func(thread int) bool {
			call, ok, _ := procfs.ReadSyscall(thread) // fails if the thread has ended
			return ok && call.Number == unix.SYS_WRITE && call.Args[0] == 1
		})
	})
	server.StopsAtOnce(t, "a program that writes")
}
