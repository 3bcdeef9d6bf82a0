package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"golang.org/x/sys/unix"
)

// busyMessages is how many messages the busy program sends, and receives.
const busyMessages = 100_000

// busy passes one descriptor after the other to itself.
func busy() error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	for range busyMessages {
		if _, err := scm.WriteFD(p[0], b, 0); err != nil {
			return err
		}
		_, fd, err := scm.ReadFD(p[1], b)
		if err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkTrace reports how many times as long as under strace, with the same
// calls traced into a file, a program takes under scm trace: the two in turn,
// and of each the shortest and the median.
//
//	go test ./cmd/scm -run '^$' -bench Trace -benchtime 5x
func BenchmarkTrace(b *testing.B) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "trace")
	measure := func(cmd *exec.Cmd) time.Duration {
		cmd.Stderr = os.Stderr
		start := time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var ours, theirs []time.Duration
	command := tracee(b, "busy")
	for b.Loop() {
		scm := scmCommand(b, append([]string{"trace", "-o", file, "--"}, command...)...)
		same := exec.Command(strace, append([]string{"-f", "--seccomp-bpf", "-e", "trace=sendmsg,recvmsg,sendmmsg,recvmmsg", "-o", file}, command...)...)
		same.Env = scm.Env
		ours, theirs = append(ours, measure(scm)), append(theirs, measure(same))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	ratio := func(i int) float64 { return float64(ours[i]) / float64(theirs[i]) }
	b.ReportMetric(ratio(0), "min-ratio")
	b.ReportMetric(ratio(len(ours)/2), "median-ratio")
	b.ReportMetric(float64(ours[0].Microseconds())/busyMessages, "µs/message")
	b.ReportMetric(0, "ns/op")
}
