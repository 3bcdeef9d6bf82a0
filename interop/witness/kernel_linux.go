package witness

import (
	"regexp"
	"sync"

	"github.com/scm-rights/scm/interop/expected"
	"golang.org/x/sys/unix"
)

// gVisorLog matches the start of the log of gVisor's kernel. On Linux, a program can write to the kernel log too,
// but not with the timestamp 0.
var gVisorLog = regexp.MustCompile(`^<6>\[ *0\.000000\] Starting gVisor`)

// ThisKernel returns the running kernel.
func ThisKernel() expected.System { return thisKernel() }

// thisKernel asks only once, because the kernel goes through its whole log to answer.
var thisKernel = sync.OnceValue(func() expected.System {
	k := expected.System{Kind: thisKind()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		k.Release = unix.ByteSliceToString(u.Release[:])
	}
	return k
})

// thisKind returns the kind of the running kernel, one of expected.Kinds. It recognizes gVisor by its log,
// which any user can read. It ignores the kernel's release string, because a kernel can be built with any string.
func thisKind() string {
	log := make([]byte, 64)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return expected.Linux // only Linux restricts access to its log
	}
	return kernelOf(log[:n])
}

// kernelOf returns the kernel that has written a log.
func kernelOf(log []byte) string {
	if gVisorLog.Match(log) {
		return expected.GVisor
	}
	return expected.Linux
}
