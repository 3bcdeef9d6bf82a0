package witness

import (
	"regexp"

	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// gVisorLog is how the log of gVisor's kernel begins. What a program writes to
// Linux's own log is not from the instant 0.
var gVisorLog = regexp.MustCompile(`^<6>\[ *0\.000000\] Starting gVisor`)

// ThisKernel returns which of scenario.KernelKinds this is: Linux, unless it says that it is another.
// gVisor shows the beginning of its log to everybody; the name of a release is whatever its
// builder chose.
func ThisKernel() string {
	log := make([]byte, 64)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return scenario.KernelLinux // it is Linux that keeps its log to itself
	}
	return kernelOf(log[:n])
}

// kernelOf tells whose log it is.
func kernelOf(log []byte) string {
	if gVisorLog.Match(log) {
		return scenario.KernelGVisor
	}
	return scenario.KernelLinux
}
