//go:build linux

package scm_test

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// wordings are texts of errors, by what was expected and by the name of the sample that was received.
var wordings = []struct {
	expect scm.Expect
	sample string
	text   string
}{
	{scm.Expect{Kind: scm.KindRegular}, "a memfd with seals", "a regular file, got a memfd (read-write) sealed against shrinking and writing"},
	{scm.Expect{Kind: scm.KindSymlink, Access: scm.AccessPath}, "the read end of a pipe", "a symbolic link (O_PATH), got a pipe (read end)"},
	{scm.Expect{Kind: scm.KindEventfd}, "a regular file opened for appending", "an eventfd, got a regular file (write-only)"},
	{scm.Expect{Kind: scm.KindDirectory}, "/dev/null", "a directory, got a character device (read-write)"},
	{scm.Expect{Kind: scm.KindCharDevice}, "the write end of a pipe", "a character device, got a pipe (write end)"},
	{scm.Expect{Kind: scm.KindBlockDevice}, "an epoll descriptor", "a block device, got an eventpoll (read-write)"},
	{scm.Expect{Kind: scm.KindPIDFD}, "a memfd", "a pidfd, got a memfd (read-write) without seals"},
	{scm.Expect{Kind: scm.KindMemfd, Access: scm.AccessAny}, "a regular file opened with O_PATH", "a memfd, got a regular file (O_PATH)"},
	{scm.Expect{Kind: "anon_inode:[eventpoll]"}, "the read end of a pipe", "an eventpoll, got a pipe (read end)"},
	{scm.Expect{Family: unix.AF_UNIX}, "/dev/null", "a Unix socket, got a character device (read-write)"},
	{scm.Expect{Family: unix.AF_INET, Type: unix.SOCK_STREAM}, "a directory", "an IPv4 stream socket, got a directory (read-only)"},
	{scm.Expect{Family: unix.AF_NETLINK, Type: unix.SOCK_RAW}, "a regular file opened with O_PATH", "a netlink raw socket, got a regular file (O_PATH)"},
	{scm.Expect{Type: unix.SOCK_SEQPACKET}, "a memfd with seals", "a seqpacket socket, got a memfd (read-write) sealed against shrinking and writing"},
	{scm.Expect{Protocol: unix.IPPROTO_UDP}, "a regular file opened for appending", "a socket of protocol udp (17), got a regular file (write-only)"},
	{scm.Expect{Kind: scm.KindSocket, Family: unix.AF_INET6, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_UDP}, "the read end of a pipe", "an IPv6 datagram socket of protocol udp (17), got a pipe (read end)"},
	{scm.Expect{Type: 15, Protocol: 250}, "a Unix stream socket", "a type 15 socket of protocol 250, got a Unix stream socket (read-write)"},
	{scm.Expect{}, "a regular file opened with O_PATH", "a file, got a regular file (O_PATH)"},
	{scm.Expect{Access: scm.AccessRead}, "a regular file opened with O_PATH", "a file open for reading, got a regular file (O_PATH)"},
	{scm.Expect{Access: scm.AccessWrite}, "the read end of a pipe", "a file open for writing, got a pipe (read end)"},
	{scm.Expect{Access: scm.AccessReadWrite}, "a regular file opened for appending", "a file (read-write), got a regular file (write-only)"},
	{scm.Expect{Access: scm.AccessPath}, "/dev/null", "a file (O_PATH), got a character device (read-write)"},
	{scm.Expect{Kind: scm.KindPipe, Access: scm.AccessReadOnly}, "a directory", "a pipe (read end), got a directory (read-only)"},
	{scm.Expect{Kind: scm.KindPipe, Access: scm.AccessWriteOnly}, "a regular file opened with O_PATH", "a pipe (write end), got a regular file (O_PATH)"},
	{scm.Expect{Kind: scm.KindPipe, Access: scm.AccessReadWrite}, "a memfd with seals", "a pipe (read-write), got a memfd (read-write) sealed against shrinking and writing"},
	{scm.Expect{Flags: unix.O_APPEND}, "a Unix stream socket", "a file with O_APPEND, got a Unix stream socket (read-write, without O_APPEND)"},
	{scm.Expect{Flags: unix.O_APPEND | unix.O_NONBLOCK, Access: scm.AccessWrite}, "/dev/null", "a file open for writing with O_APPEND|O_NONBLOCK, got a character device (read-write, without O_APPEND|O_NONBLOCK)"},
	{scm.Expect{Kind: scm.KindSocket, Flags: unix.O_NONBLOCK}, "a regular file opened with O_PATH", "a socket with O_NONBLOCK, got a regular file (O_PATH)"},
	{scm.Expect{Flags: unix.O_APPEND, Access: scm.AccessAny}, "a regular file opened with O_PATH", "a file with O_APPEND, got a regular file (O_PATH)"},
	{scm.Expect{Flags: unix.O_SYNC}, "a regular file with O_DSYNC and O_NOATIME", "a file with O_SYNC, got a regular file (write-only, without O_SYNC)"},
	{scm.Expect{Flags: unix.O_APPEND | unix.O_NONBLOCK | unix.O_DSYNC}, "a regular file with O_DSYNC and O_NOATIME", "a file with O_APPEND|O_NONBLOCK|O_DSYNC, got a regular file (write-only, without O_APPEND|O_NONBLOCK)"},
	{scm.Expect{Flags: unix.O_ASYNC | unix.O_NOATIME | 1<<30}, "a regular file with O_DSYNC and O_NOATIME", "a file with O_ASYNC|O_NOATIME|0x40000000, got a regular file (write-only, without O_ASYNC|0x40000000)"},
	{scm.Expect{Kind: scm.KindMemfd, Seals: unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK}, "a memfd that cannot grow", "a memfd sealed against shrinking and writing, got a memfd (read-write) sealed against growing"},
	{scm.Expect{Kind: scm.KindMemfd, Seals: unix.F_SEAL_SEAL | unix.F_SEAL_EXEC | 4}, "a memfd with seals", "a memfd sealed against more seals, growing and changes of mode, got a memfd (read-write) sealed against shrinking and writing"},
	{scm.Expect{Kind: scm.KindMemfd, Seals: unix.F_SEAL_FUTURE_WRITE | 1<<20}, "a memfd that cannot grow", "a memfd sealed against future writing and 0x100000, got a memfd (read-write) sealed against growing"},
	{scm.Expect{Seals: unix.F_SEAL_WRITE}, "a regular file opened for appending", "a file sealed against writing, got a regular file (write-only)"},
	{scm.Expect{Seals: unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK}, "a regular file opened for appending", "a file sealed against shrinking, growing and writing, got a regular file (write-only)"},
	{scm.Expect{Kind: scm.KindMemfd, Access: scm.AccessReadOnly, Flags: unix.O_APPEND, Seals: unix.F_SEAL_FUTURE_WRITE}, "a Unix stream socket", "a memfd sealed against future writing (read-only) with O_APPEND, got a Unix stream socket (read-write, without O_APPEND)"},

	// no file satisfies these
	{scm.Expect{Kind: scm.KindRegular, Type: unix.SOCK_STREAM}, "a regular file opened for appending", "a regular file that is a stream socket, got a regular file (write-only)"},
	{scm.Expect{Kind: scm.KindPipe, Seals: unix.F_SEAL_WRITE}, "the read end of a pipe", "a pipe sealed against writing, got a pipe (read end)"},
	{scm.Expect{Kind: scm.KindSymlink}, "a symbolic link", "a symbolic link, got a symbolic link (O_PATH)"},
	{scm.Expect{Kind: scm.KindSymlink, Access: scm.AccessAny, Flags: unix.O_APPEND}, "a symbolic link", "a symbolic link with O_APPEND, got a symbolic link (O_PATH)"},
	{scm.Expect{Family: unix.AF_UNIX, Access: scm.AccessPath}, "a socket opened with O_PATH", "a Unix socket (O_PATH), got a socket (O_PATH)"},
	{scm.Expect{Kind: scm.KindPipe, Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_TCP, Access: scm.AccessReadOnly, Flags: unix.O_APPEND, Seals: unix.F_SEAL_GROW},
		"the read end of a pipe", "a pipe that is an IPv4 datagram socket of protocol tcp (6) sealed against growing (read end) with O_APPEND, got a pipe (read end, without O_APPEND)"},
}

var _ = It("an ExpectError names every property that was expected, and those of the file that was received", func() {
	f := connect(unix.SOCK_SEQPACKET)
	for _, w := range wordings {
		s := samples[slices.IndexFunc(samples, func(s sample) bool { return s.name == w.sample })]
		w.expect.Max = 1
		Expect(f.rejects(w.expect, f.own(s.open()))).To(MatchError("scm: wanted " + w.text))
	}
})
