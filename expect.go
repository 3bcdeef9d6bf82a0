package scm

import (
	"fmt"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// Expect describes the descriptors that a partner may pass: how many, and what each must be. It can apply
// to every receive of a Conn ([Config].Expect), to one receive ([Expect.Recv]), or to descriptors received
// by other means ([Expect.Enforce]). If one descriptor is wrong, the check closes all of them before the
// program can use any. The zero value accepts no descriptor.
//
// On Linux, the check calls fcntl(2), getsockopt(2), statx(2) with AT_STATX_DONT_SYNC, and readlink(2) and
// fstatat(2) in /proc. For a namespace that is bound to a path, it also calls ioctl(2) with NS_GET_NSTYPE. The kernel
// answers these calls without asking the file's server (FUSE). If only Min, Max, Access or Flags are set,
// the check calls only fcntl(F_GETFL). It recognizes a memfd that cannot be sealed by its device. To learn the number
// of that device, it creates a memfd of its own once (memfd_create(2)).
//
// [KindRegular] and Linux's namespaces and anonymous files ([KindEventfd], [KindPIDFD], …) need /proc. If it is
// not mounted, as in an empty chroot, an Expect of such a Kind rejects every file that may be of that kind, and
// the error names /proc. The other kinds and the other fields work without /proc.
//
// Other systems use fcntl(2), fstat(2), getsockopt(2) and getsockname(2). They cannot recognize Protocol,
// Seals, AccessPath or the kinds of Linux's anonymous files. On those systems, an Expect that asks for one of
// these matches nothing: the check closes all descriptors, and its error wraps [errors.ErrUnsupported].
//
// Family, Type, Protocol, Flags and Seals match no descriptor opened with O_PATH, not even a socket or a
// memfd. With Family, Type or Protocol, Kind "" means KindSocket. With Seals, it means any file that can
// have seals. An Expect that no file satisfies, such as a pipe with Seals, rejects every file.
//
// Calls that use an invalid Expect return an error that wraps EINVAL. It is invalid if a value can match
// nothing by itself: an unknown Kind or Access, a negative number other than Min, a Min above Max, a Type or
// Flags with other bits than the field describes. It is also invalid if Max is 0 and a property of the
// descriptors is set.
type Expect struct {
	// Min and Max limit the number of descriptors. For "at least n", use n and MaxFDs. A Max that is
	// negative or less than Min is invalid.
	Min, Max int

	// Kind is the kind of file that each descriptor must be. "" accepts any kind.
	Kind Kind

	// Family, Type and Protocol are those of a socket, as in socket(2), such as unix.AF_UNIX. 0 accepts any
	// value. Any other value accepts only sockets. Type does not include flags such as unix.SOCK_CLOEXEC.
	//
	// Protocol is supported on Linux only. The protocol of a TCP listener created by package net is unix.IPPROTO_MPTCP,
	// not unix.IPPROTO_TCP: since Go 1.24 listeners use Multipath TCP if the kernel supports it (see
	// [net.ListenConfig.SetMultipathTCP]). A connection that it accepts from a plain TCP client has
	// unix.IPPROTO_TCP. To accept both, set Family and Type and leave Protocol 0.
	Family, Type, Protocol int

	// Access is how each descriptor must have been opened. "" accepts anything except AccessPath.
	Access Access

	// Flags are status flags of open(2) that must all be set, such as unix.O_APPEND for a log file to
	// which several processes write. Other status flags may be set too. An access mode, O_PATH, or a
	// file creation flag such as unix.O_TRUNC is invalid.
	//
	// Status flags belong to the open file description. The sender shares the description and can change
	// the flags later with fcntl(2), so Flags finds mistakes but does not stop a hostile sender.
	Flags int

	// Seals are file seals that must all be set. Other seals may be set too. With unix.F_SEAL_SHRINK,
	// the file cannot shrink. Shrinking it could crash readers of a mapping with SIGBUS. With
	// unix.F_SEAL_WRITE, the content cannot change after it was checked. Seals are supported on Linux
	// only.
	Seals int
}

// Kind is a kind of file. Besides the constants, it can be the name of one of Linux's namespaces ("net",
// "mnt", "pid", …) or anonymous files: "timerfd", "signalfd", "eventpoll", "inotify", "fanotify",
// "io_uring", "perf_event", "userfaultfd", "seccomp notify", "bpf-map", "bpf-prog", "dmabuf". For any other
// anonymous file, use the name that /proc shows: "anon_inode:[dma_fence]". A Kind that does not exist makes an
// [Expect] invalid (EINVAL). The kind of a namespace that was opened through a path with O_PATH is not
// recognized. Linux 6.7 and later refuse to pass an io_uring descriptor (EINVAL), so only [Expect.Enforce] can
// see one.
type Kind string

// KindRegular includes POSIX message queues, BPF tokens and the files of memfd_secret(2). KindSymlink is a symbolic
// link itself. Linux opens one only with O_PATH and O_NOFOLLOW, so Access must be AccessPath or AccessAny. KindMemfd
// and the kinds after it are supported on Linux only.
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

// Access is how a file was opened. Any value other than these constants and "" makes an [Expect] invalid
// (EINVAL).
type Access string

// A file that was opened with the access mode O_ACCMODE (3) matches only AccessAny and "".
const (
	AccessRead      Access = "read"       // reading, and perhaps writing
	AccessWrite     Access = "write"      // writing, and perhaps reading
	AccessReadWrite Access = "read-write" // both
	AccessReadOnly  Access = "read-only"  // reading, but not writing
	AccessWriteOnly Access = "write-only" // writing, but not reading
	AccessPath      Access = "path"       // neither: with O_PATH
	AccessAny       Access = "any"        // anything
)

// ExpectError reports a message that does not match an [Expect]: what was expected and what was received.
// The call that returned it has closed all descriptors of the message.
type ExpectError struct {
	// Index is the index of the wrong descriptor, counted from 0. It is -1 if the number of descriptors
	// is wrong or the message was truncated.
	Index int

	// Want and Got describe what was expected and what was received, in words.
	Want, Got string

	// Err is the reason why a descriptor could not be examined or the Expect could not be applied. It
	// is [io.ErrShortBuffer] if the message was longer than the buffers, and nil otherwise.
	Err error
}

func (e *ExpectError) Error() string {
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
	case e.Max < 0:
		return fmt.Sprintf("has a negative Max, %d", e.Max)
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
