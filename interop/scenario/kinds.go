package scenario

import "slices"

// A FileKind is a kind of file that a transcript can use in a "files" line.
type FileKind struct {
	Name   string
	Peer   bool   // peer scenarios can use it too
	What   string // a description
	ended  bool   // the runner keeps the other end of the file
	unique bool   // no other file has the same device and inode
}

// FileKinds lists the kinds. Package kinds creates the files. The tables in the pages of
// interop/catalogue are generated from this list, by "go test ./interop/catalogue -run
// TestReadme -update".
var FileKinds = []FileKind{
	{Name: "file", Peer: true, unique: true, What: "a regular file without a name, open for reading and writing, at offset 0. It contains 4,096 bytes; byte *i* is *i* mod 251"},
	{Name: "rdonly", unique: true, What: "like `file`, but open only for reading"},
	{Name: "append", Peer: true, unique: true, What: "like `file`, with O_APPEND"},
	{Name: "tmpfile", unique: true, What: "an empty file opened with O_TMPFILE, which can be given a name"},
	{Name: "dir", Peer: true, What: "the directory `/`"},
	{Name: "opath", Peer: true, What: "the directory `/`, opened with O_PATH"},
	{Name: "null", Peer: true, What: "`/dev/null`"},
	{Name: "zero", What: "`/dev/zero`"},
	{Name: "kvm", What: "`/dev/kvm`"},
	{Name: "fuse", What: "`/dev/fuse`"},
	{Name: "proc", What: "`/proc/self/status` of the runner"},
	{Name: "namespace", What: "`/proc/self/ns/uts` of the runner"},
	{Name: "fifo", unique: true, What: "a new named pipe whose name has been removed, open for reading and writing"},
	{Name: "pipe-r", Peer: true, unique: true, ended: true, What: "the read end of a new pipe. The runner keeps the write end"},
	{Name: "pipe-w", Peer: true, unique: true, ended: true, What: "the write end of a new pipe. The runner keeps the read end"},
	{Name: "memfd", Peer: true, unique: true, What: "a new, empty memfd"},
	{Name: "memfd-sealable", unique: true, What: "a new, empty memfd that can be sealed"},
	{Name: "memfd-rdonly", unique: true, What: "a new, empty memfd, open only for reading"},
	{Name: "memfd-secret", unique: true, What: "a new file from memfd_secret"},
	{Name: "dmabuf", What: "a new file of this type"},
	{Name: "mqueue", What: "a new file of this type"},
	{Name: "epoll", What: "a new file of this type"},
	{Name: "fanotify", What: "a new file of this type"},
	{Name: "userfaultfd", What: "a new file of this type"},
	{Name: "landlock", What: "a new file of this type"},
	{Name: "bpf", What: "a new file of this type"},
	{Name: "perf", What: "a new file of this type"},
	{Name: "io-uring", What: "a new file of this type"},
	{Name: "eventfd", Peer: true, What: "a new eventfd, with O_NONBLOCK"},
	{Name: "inotify", What: "a new inotify instance, with O_NONBLOCK"},
	{Name: "eventfd-semaphore", What: "a new eventfd with the value 3, EFD_SEMAPHORE and O_NONBLOCK"},
	{Name: "timerfd", What: "a new timerfd whose timer has expired"},
	{Name: "signalfd", What: "a new signalfd with an empty set of signals"},
	{Name: "pidfd", What: "a pidfd of the runner"},
	{Name: "mount", What: "a detached copy of the mount at `/`"},
	{Name: "pty-master", Peer: true, What: "the master of a new terminal"},
	{Name: "pty-slave", Peer: true, ended: true, What: "the slave of a new terminal. The runner keeps the master"},
	{Name: "pair", Peer: true, unique: true, ended: true, What: "one end of a new pair of connected stream sockets. The runner keeps the other end"},
	{Name: "tcp", Peer: true, unique: true, ended: true, What: "a connected TCP socket. The runner keeps the other end"},
	{Name: "tcp-listener", Peer: true, unique: true, What: "a listening TCP socket, bound on the loopback interface"},
	{Name: "udp", Peer: true, unique: true, What: "a UDP socket, bound on the loopback interface"},
	{Name: "unix-listener", Peer: true, unique: true, What: "a listening Unix stream socket, with a name that the kernel chose"},
	{Name: "unix-dgram", unique: true, What: "a new Unix datagram socket"},
	{Name: "netlink", unique: true, What: "a new netlink socket"},
	{Name: "packet", unique: true, What: "a new packet socket"},
}

// kindOf returns the kind with this name, or the zero FileKind.
func kindOf(name string) FileKind {
	i := slices.IndexFunc(FileKinds, func(k FileKind) bool { return k.Name == name })
	if i < 0 {
		return FileKind{}
	}
	return FileKinds[i]
}

// kindNames lists the names of the kinds, or of those that peer scenarios can use.
func kindNames(peer bool) (names []string) {
	for _, k := range FileKinds {
		if k.Peer || !peer {
			names = append(names, k.Name)
		}
	}
	return names
}

// Unique reports whether no other file has the same device and inode as this file.
func (f FileSpec) Unique() bool { return f.Kind == "sock" || kindOf(f.Kind).unique }
