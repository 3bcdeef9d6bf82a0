package scenario

import (
	"slices"
	"strings"
)

// A FileKind is a kind of file that a transcript's "files" line may name.
type FileKind struct {
	Name string
	is   trait  // what the runner has to know of it, or 0
	What string // what it is
}

type trait int

const (
	unique   trait = 1 << iota // no other file has its device and inode
	twoEnded                   // the runner has the other end
	seekable                   // its offset can be set
)

// FileKinds are the kinds. Package kinds makes files of each; the table in
// interop/catalogue/README.md is generated from here.
var FileKinds = []FileKind{
	{"file", unique | seekable, "a regular file without a name, open for reading and writing, at offset 0; 4,096 bytes, byte *i* is *i* mod 251"},
	{"rdonly", unique | seekable, "the same, open for reading"},
	{"append", unique | seekable, "the same, with O_APPEND"},
	{"tmpfile", unique | seekable, "an empty one, by O_TMPFILE: it can be given a name"},
	{"dir", 0, "the folder `/`"},
	{"opath", 0, "the folder `/`, opened with O_PATH"},
	{"null", 0, "`/dev/null`"},
	{"zero", 0, "`/dev/zero`"},
	{"kvm", 0, "`/dev/kvm`"},
	{"fuse", 0, "`/dev/fuse`"},
	{"proc", 0, "`/proc/self/status` of the runner"},
	{"namespace", 0, "`/proc/self/ns/uts` of the runner"},
	{"fifo", unique, "a new named pipe, open for both, without a name by then"},
	{"pipe-r", unique | twoEnded, "the end of a new pipe for reading; the runner has the other end"},
	{"pipe-w", unique | twoEnded, "the end of a new pipe for writing; the runner has the other end"},
	{"memfd", unique | seekable, "a new one"},
	{"memfd-sealable", unique | seekable, "a new one"},
	{"memfd-rdonly", unique | seekable, "a new one"},
	{"memfd-secret", unique, "a new one"},
	{"dmabuf", 0, "a new one"},
	{"mqueue", 0, "a new one"},
	{"epoll", 0, "a new one"},
	{"fanotify", 0, "a new one"},
	{"userfaultfd", 0, "a new one"},
	{"landlock", 0, "a new one"},
	{"bpf", 0, "a new one"},
	{"perf", 0, "a new one"},
	{"io-uring", 0, "a new one"},
	{"eventfd", 0, "a new one, with O_NONBLOCK"},
	{"inotify", 0, "a new one, with O_NONBLOCK"},
	{"eventfd-semaphore", 0, "at 3, with EFD_SEMAPHORE and O_NONBLOCK"},
	{"timerfd", 0, "one that has expired"},
	{"signalfd", 0, "of no signal"},
	{"pidfd", 0, "of the runner"},
	{"mount", 0, "a detached copy of the mount at `/`"},
	{"pty-master", 0, "a new one"},
	{"pty-slave", twoEnded, "of a new one; the runner has the master"},
	{"pair", unique | twoEnded, "one end of a new pair of stream sockets; the runner has the other"},
	{"tcp", unique | twoEnded, "a connected TCP socket; the runner has the other end"},
	{"tcp-listener", unique, "bound on the loopback interface"},
	{"udp", unique, "bound on the loopback interface"},
	{"unix-listener", unique, "a listening stream socket with a name of the kernel's choice"},
	{"unix-dgram", unique, "a new one"},
	{"netlink", unique, "a new one"},
	{"packet", unique, "a new one"},
}

// has reports whether files of the kind have the trait.
func has(kind string, t trait) bool {
	return slices.ContainsFunc(FileKinds, func(k FileKind) bool { return k.Name == kind && k.is&t != 0 })
}

// Unique reports whether no other file has the device and inode of this one.
func (f FileSpec) Unique() bool { return f.Kind == "sock" || has(f.Kind, unique) }

func kindNames() string {
	var names []string
	for _, k := range FileKinds {
		names = append(names, k.Name)
	}
	return strings.Join(names, " ")
}
