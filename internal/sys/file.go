package sys

import (
	"slices"
	"strings"
)

// File describes an open file, as found by Look.
type File struct {
	Kind                   string // as scm.Kind, or unknownKind or possibleMemfd
	Unknown                error  // why the kind could not be found out
	Family, Type, Protocol int    // if it is a socket
	Access                 string // "read-only", "write-only", "read-write", "path" or "none"
	Seals                  int    // if it can have seals
	Flags                  int    // the status flags, as StatusFlags returns them; 0 with O_PATH
}

// unknownKind and possibleMemfd are the kinds of a file that Look does not recognize.
const (
	unknownKind   = "file of unknown kind"
	possibleMemfd = "possible memfd"
)

// Look returns the kind of a descriptor's file, and how it was opened.
func Look(fd int) (File, error) {
	f, err := Opened(fd)
	if err == nil {
		err = f.Identify(fd)
	}
	return f, err
}

// MayBe reports whether a file may be of this kind although Look did not recognize it.
func (f File) MayBe(kind string) bool {
	switch kind {
	case "", "directory", "symlink", "pipe", "socket", "character device", "block device": // st_mode shows these
		return false
	case "memfd":
		return f.Kind == possibleMemfd
	}
	return f.Unknown != nil
}

var (
	// anonymous holds Linux's names for anonymous files. There are others.
	anonymous = []string{
		"eventfd", "pidfd", "timerfd", "signalfd", "eventpoll", "inotify", "fanotify", "io_uring", "perf_event",
		"userfaultfd", "seccomp notify", "bpf-map", "bpf-prog", "dmabuf",
	}

	// named holds all other kinds: no anonymous file has one of these names.
	named = []string{
		"regular", "directory", "symlink", "pipe", "socket", "character device", "block device", "memfd",
		"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts",
	}
)

// KnownKind reports whether a file of this kind can exist.
func KnownKind(kind string) bool {
	if strings.HasPrefix(kind, "anon_inode:") {
		kind = AnonymousKind(kind, false)
		return kind != "" && !slices.Contains(named, kind)
	}
	return slices.Contains(named, kind) || slices.Contains(anonymous, kind)
}

// AnonymousKind returns the kind in the kernel's name for a file, such as "anon_inode:[eventfd]",
// "anon_inode:inotify" or "pipe:[4711]". A pidfd can have either form. If the name begins with a
// slash, the file is in a file system, and the kind is "", unless st_mode has no type: then only the kernel
// can have chosen the name, such as "/dmabuf:NAME".
func AnonymousKind(name string, typeless bool) string {
	if strings.HasPrefix(name, "/") && !typeless {
		return ""
	}
	if kind, ok := strings.CutPrefix(name, "anon_inode:"); ok {
		return strings.Trim(kind, "[]")
	}
	kind := strings.TrimPrefix(name, "/")
	if i := strings.IndexAny(kind, ":["); i >= 0 {
		kind = kind[:i]
	}
	return kind
}
