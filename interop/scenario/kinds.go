package scenario

import "slices"

// A FileKind is a kind of file that a transcript's "files" line may name.
type FileKind struct {
	Name   string
	unique bool   // no other file has its device and inode
	ended  bool   // the runner has the other end
	What   string // what it is
}

// FileKinds are the kinds. Package kinds makes files of each; the table in
// interop/catalogue/README.md is generated from here, by
// "go test ./interop/catalogue -run TestReadme -update".
var FileKinds = []FileKind{
	{"file", true, false, "a regular file without a name, open for reading and writing, at offset 0; 4,096 bytes, byte *i* is *i* mod 251"},
	{"rdonly", true, false, "the same, open for reading"},
	{"append", true, false, "the same, with O_APPEND"},
	{"tmpfile", true, false, "an empty one, by O_TMPFILE: it can be given a name"},
	{"dir", false, false, "the folder `/`"},
	{"opath", false, false, "the folder `/`, opened with O_PATH"},
	{"null", false, false, "`/dev/null`"},
	{"zero", false, false, "`/dev/zero`"},
	{"kvm", false, false, "`/dev/kvm`"},
	{"fuse", false, false, "`/dev/fuse`"},
	{"proc", false, false, "`/proc/self/status` of the runner"},
	{"namespace", false, false, "`/proc/self/ns/uts` of the runner"},
	{"fifo", true, false, "a new named pipe, open for both, without a name by then"},
	{"pipe-r", true, true, "the end of a new pipe for reading; the runner has the other end"},
	{"pipe-w", true, true, "the end of a new pipe for writing; the runner has the other end"},
	{"memfd", true, false, "a new one"},
	{"memfd-sealable", true, false, "a new one"},
	{"memfd-rdonly", true, false, "a new one"},
	{"memfd-secret", true, false, "a new one"},
	{"dmabuf", false, false, "a new one"},
	{"mqueue", false, false, "a new one"},
	{"epoll", false, false, "a new one"},
	{"fanotify", false, false, "a new one"},
	{"userfaultfd", false, false, "a new one"},
	{"landlock", false, false, "a new one"},
	{"bpf", false, false, "a new one"},
	{"perf", false, false, "a new one"},
	{"io-uring", false, false, "a new one"},
	{"eventfd", false, false, "a new one, with O_NONBLOCK"},
	{"inotify", false, false, "a new one, with O_NONBLOCK"},
	{"eventfd-semaphore", false, false, "at 3, with EFD_SEMAPHORE and O_NONBLOCK"},
	{"timerfd", false, false, "one that has expired"},
	{"signalfd", false, false, "of no signal"},
	{"pidfd", false, false, "of the runner"},
	{"mount", false, false, "a detached copy of the mount at `/`"},
	{"pty-master", false, false, "a new one"},
	{"pty-slave", false, true, "of a new one; the runner has the master"},
	{"pair", true, true, "one end of a new pair of stream sockets; the runner has the other"},
	{"tcp", true, true, "a connected TCP socket; the runner has the other end"},
	{"tcp-listener", true, false, "bound on the loopback interface"},
	{"udp", true, false, "bound on the loopback interface"},
	{"unix-listener", true, false, "a listening stream socket with a name of the kernel's choice"},
	{"unix-dgram", true, false, "a new one"},
	{"netlink", true, false, "a new one"},
	{"packet", true, false, "a new one"},
}

// kindOf returns the kind of this name, or none.
func kindOf(name string) FileKind {
	i := slices.IndexFunc(FileKinds, func(k FileKind) bool { return k.Name == name })
	if i < 0 {
		return FileKind{}
	}
	return FileKinds[i]
}

// Unique reports whether no other file has the device and inode of this one.
func (f FileSpec) Unique() bool { return f.Kind == "sock" || kindOf(f.Kind).unique }
