package scm

import (
	"fmt"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// Expect describes the descriptors that a partner may pass: how many, and what each must be. It can apply
// to the methods of a Conn ([Config].Expect), to one receive ([Expect.Recv]), or to other descriptors
// ([Expect.Enforce]). If one does not match, all descriptors are closed. The zero value accepts no
// descriptor. With an invalid Expect, such as one with a Kind but Max 0, the error wraps EINVAL.
//
// On Linux, if statx(2) is allowed, the check never waits for the file's server (FUSE). [KindRegular], namespaces and
// anonymous files ([KindEventfd], [KindPIDFD], …) need /proc: without it, every file that could be one is rejected. If
// the system cannot report a requested Kind or field, every descriptor is rejected with [errors.ErrUnsupported].
type Expect struct {
	// Min and Max limit the number of descriptors. For "at least n", use n and MaxFDs.
	Min, Max int

	// Kind is the kind of file that each descriptor must be. "" accepts any kind.
	Kind Kind

	// Family, Type and Protocol are those of a socket, as in socket(2). 0 accepts any value, and any other only
	// sockets. Type does not include flags such as unix.SOCK_CLOEXEC. Protocol, for Linux only, can be
	// unix.IPPROTO_MPTCP for a TCP listener of package net: leave it 0 to accept both.
	Family, Type, Protocol int

	// Access is how each descriptor must have been opened. "" accepts anything except AccessPath.
	Access Access

	// Flags are status flags of open(2) that must all be set, such as unix.O_APPEND. An access mode, O_PATH and
	// unix.O_TRUNC are not status flags. The sender can change the flags later.
	Flags int

	// Seals are file seals that must all be set (Linux only). With unix.F_SEAL_SHRINK, the sender cannot shrink
	// the file, which could crash readers of a mapping with SIGBUS. With unix.F_SEAL_WRITE, the sender cannot
	// change the content.
	Seals int
}

// Kind is a kind of file: one of the constants, or the name of one of Linux's namespaces ("net", "mnt", …)
// or anonymous files: "timerfd", "signalfd", "eventpoll", "inotify", "fanotify", "io_uring", "perf_event",
// "userfaultfd", "seccomp notify", "bpf-map", "bpf-prog", "dmabuf". For any other anonymous file, use the
// name in /proc, such as "anon_inode:[dma_fence]". A namespace that is bound to a path, as by
// "ip netns", is not recognized if it was opened with O_PATH.
type Kind string

// KindRegular includes POSIX message queues, BPF tokens and the files of memfd_secret(2). KindSymlink is the
// symbolic link itself. Linux opens one only with O_PATH and O_NOFOLLOW, so Access must be AccessPath or AccessAny.
// KindMemfd and the kinds after it exist only on Linux.
const (
	KindRegular     Kind = "regular"
	KindDirectory   Kind = "directory"
	KindSymlink     Kind = "symlink"
	KindPipe        Kind = "pipe"
	KindSocket      Kind = "socket"
	KindCharDevice  Kind = "character device"
	KindBlockDevice Kind = "block device"
	KindMemfd       Kind = "memfd"
	KindEventfd     Kind = "eventfd"
	KindPIDFD       Kind = "pidfd"
)

// Access is how a file was opened. For a descriptor opened with O_PATH, only the Kind and Access can
// match. On FreeBSD, both ends of a pipe are open for reading and writing: AccessReadOnly rejects every
// pipe there, and AccessRead accepts a write end.
type Access string

const (
	AccessRead      Access = "read"       // reading, and perhaps writing
	AccessWrite     Access = "write"      // writing, and perhaps reading
	AccessReadWrite Access = "read-write" // both
	AccessReadOnly  Access = "read-only"  // reading, but not writing
	AccessWriteOnly Access = "write-only" // writing, but not reading
	AccessPath      Access = "path"       // neither: with O_PATH
	AccessAny       Access = "any"        // anything
)

// ExpectError reports a message that does not match an [Expect]. All descriptors received with the
// message have been closed.
type ExpectError struct {
	// Index is the index of the wrong descriptor. It is -1 if no single descriptor is wrong, as when their number is,
	// or when the message was truncated.
	Index int

	// Want and Got describe what was expected and received. Both are "" if the Expect is invalid.
	Want, Got string

	// Err explains why a descriptor could not be examined or the Expect not applied. It is
	// [io.ErrShortBuffer] if the message was longer than the buffers.
	Err error
}

func (e *ExpectError) Error() string {
	if e.Want == "" && e.Err != nil {
		return e.Err.Error()
	}
	text := "scm: wanted " + e.Want + ", got " + e.Got
	if e.Index > 0 {
		text += fmt.Sprintf(" at index %d", e.Index)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *ExpectError) Unwrap() error { return e.Err }

// check returns EINVAL if e is invalid.
func (e Expect) check() error {
	if problem := e.problem(); problem != "" {
		return sys.Error("scm: Expect "+problem, sys.EINVAL)
	}
	return nil
}

// problem explains why e is invalid. It returns "" if e is valid.
func (e Expect) problem() string {
	switch e.Access {
	case "", AccessRead, AccessWrite, AccessReadWrite, AccessReadOnly, AccessWriteOnly, AccessPath, AccessAny:
	default:
		return fmt.Sprintf("has an unknown Access, %q", e.Access)
	}
	switch {
	case e.Kind != "" && !sys.KnownKind(string(e.Kind)):
		return fmt.Sprintf("has an unknown Kind, %q", e.Kind)
	case e.Min < 0 || e.Max < 0:
		return fmt.Sprintf("has a negative Min (%d) or Max (%d)", e.Min, e.Max)
	case e.Min > e.Max:
		return fmt.Sprintf("requires at least %d and at most %s", e.Min, descriptors(e.Max))
	case e.Family < 0 || e.Protocol < 0 || e.Flags < 0 || e.Seals < 0:
		return fmt.Sprintf("has a negative Family (%d), Protocol (%d), Flags (%d) or Seals (%d)", e.Family, e.Protocol, e.Flags, e.Seals)
	case e.Type&^0xf != 0:
		return fmt.Sprintf("has a Type with flags, %#x", e.Type)
	case sys.StatusFlags(e.Flags) != e.Flags:
		return fmt.Sprintf("has Flags that are not status flags, %#x", e.Flags&^sys.StatusFlags(e.Flags))
	case e.Max == 0 && e.property() != "":
		return "has " + e.property() + " but Max 0"
	}
	return ""
}

// property names the first property of the descriptors that e asks for, or returns "".
func (e Expect) property() string {
	switch {
	case e.Kind != "":
		return "a Kind"
	case e.Access != "":
		return "an Access"
	case e.Family != 0:
		return "a Family"
	case e.Type != 0:
		return "a Type"
	case e.Protocol != 0:
		return "a Protocol"
	case e.Flags != 0:
		return "Flags"
	case e.Seals != 0:
		return "Seals"
	}
	return ""
}

// wantsSocket reports whether e asks for a property that only a socket has.
func (e Expect) wantsSocket() bool {
	return e.Family != 0 || e.Type != 0 || e.Protocol != 0
}

// allows reports whether e.Access accepts an access mode.
func (e Expect) allows(access string) bool {
	switch e.Access {
	case AccessAny:
		return true
	case "":
		return access != "path"
	case AccessRead:
		return access == "read-only" || access == "read-write"
	case AccessWrite:
		return access == "write-only" || access == "read-write"
	}
	return access == string(e.Access)
}

// kind returns the kind that each descriptor must be, as in sys.File. "" is any kind.
func (e Expect) kind() Kind {
	switch {
	case e.Kind == "" && e.wantsSocket():
		return KindSocket
	case strings.HasPrefix(string(e.Kind), "anon_inode:"):
		return Kind(sys.AnonymousKind(string(e.Kind), false))
	}
	return e.Kind
}
