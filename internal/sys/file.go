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

// KnownKind reports whether a file of this kind can exist.
func KnownKind(kind string) bool {
	switch kind {
	case "regular", "directory", "symlink", "pipe", "socket", "character device", "block device", "memfd", "eventfd", "pidfd":
		return true
	}
	if strings.HasPrefix(kind, "anon_inode:") {
		return AnonymousKind(kind) != ""
	}
	return slices.Contains(anonymous, kind)
}

// AnonymousKind returns the kind that is part of the kernel's name for a file: "anon_inode:[eventfd]",
// "anon_inode:inotify", "pipe:[4711]", and for a pidfd one form or the other. A
// name that begins with a slash is of a file system, and the kind is "".
func AnonymousKind(name string) string {
	if strings.HasPrefix(name, "/") {
		return ""
	}
	if kind, ok := strings.CutPrefix(name, "anon_inode:"); ok {
		return strings.Trim(kind, "[]")
	}
	kind, _, _ := strings.Cut(name, ":[")
	return kind
}
