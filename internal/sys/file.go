package sys

import (
	"slices"
	"strings"
)

// File is what Look learned of an open file.
type File struct {
	Kind                   string // as scm.Kind
	Family, Type, Protocol int    // of a socket
	Access                 string // "read-only", "write-only", "read-write", "path" or "none"
	Seals                  int    // of a file that can have some
}

// anonymous are the names that Linux gives its anonymous files and namespaces, but for the kinds that
// have a word of their own.
var anonymous = []string{
	"timerfd", "signalfd", "eventpoll", "inotify", "fanotify", "io_uring", "perf_event", "userfaultfd",
	"seccomp notify", "bpf-map", "bpf-prog",
	"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts",
}

// KnownKind reports whether there can be a file of a kind.
func KnownKind(kind string) bool {
	switch kind {
	case "regular", "directory", "symlink", "pipe", "socket", "character device", "block device", "memfd", "eventfd", "pidfd":
		return true
	}
	return slices.Contains(anonymous, kind) || strings.HasPrefix(kind, "anon_inode:")
}
