package scm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// Expect is what a partner may pass: how many descriptors, and what each must be.
// [Expect.Recv] and [Expect.Check] check received descriptors before anybody uses
// them, and close all of them if one is wrong. The zero value accepts no
// descriptor. Make an [os.File] of a received descriptor by [NewFile], and not by
// [os.NewFile].
//
// On Linux fcntl(2), getsockopt(2) and readlink(2) in /proc answer, which ask the
// kernel and never the file; without /proc they recognize sockets only. For regular
// files, directories, devices and what was opened with O_PATH it takes the file's
// type too, by statx(2) with AT_STATX_DONT_SYNC: a partner that passes a file of a
// FUSE or network file system of its own cannot hold that up, unless the file
// system does not heed the flag, or the call is fstat(2) because the kernel has no
// statx (before 4.11) or a filter refuses it. The partner can hold up the close of
// what is refused, as it can any close(2): that flushes. That close also removes the
// process's own fcntl(F_SETLK) locks on the file: see [NewFile]. A memfd is recognized
// by its device, which is that of a memfd made for the comparison: if memfd_create(2) fails,
// a memfd is refused with that error.
//
// Other systems use fstat(2), and have no seals and none of the kinds of Linux's
// anonymous files: to ask for these is [ErrUnsupported], and all descriptors are
// closed.
type Expect struct {
	// Min and Max are how many descriptors there may be: exactly n is n and n,
	// at most n is 0 and n, at least n is n and MaxFDs.
	Min, Max int

	// Kind is what each must be. "" takes any.
	Kind Kind

	// Family, Type and Protocol are those of a socket, as in socket(2):
	// unix.AF_UNIX, unix.SOCK_SEQPACKET, unix.IPPROTO_TCP, … 0 takes any, and
	// any other value takes sockets only. Protocol is for Linux.
	Family, Type, Protocol int

	// Access is what each must have been opened for:
	//
	//	"read"        reading, perhaps writing too
	//	"write"       writing, perhaps reading too
	//	"read-write"  both
	//	"read-only"   reading, and not writing
	//	"write-only"  writing, and not reading
	//	"path"        neither: with O_PATH
	//	""            anything but "path"
	//	"any"         anything
	//
	// Linux has a mode more (O_ACCMODE itself), which allows neither reading nor
	// writing: only "" and "any" take it.
	Access string

	// Seals must all be set: unix.F_SEAL_SHRINK, unix.F_SEAL_WRITE, … Others
	// may be set too. Linux only.
	//
	// Without F_SEAL_SHRINK a partner can cut the file after it was mapped,
	// and whoever then touches the mapping is killed by SIGBUS. Without
	// F_SEAL_WRITE it can change what was already checked.
	Seals int

	// Truncated accepts a message with MSG_CTRUNC, of which descriptors may be
	// missing. Otherwise such a message is refused.
	Truncated bool
}

// Kind is what kind of file a descriptor stands for:
//
//	"regular"           a regular file
//	"directory"
//	"symlink"           opened with O_PATH and O_NOFOLLOW
//	"pipe"              either end, or a FIFO
//	"socket"
//	"character device"
//	"block device"
//	"memfd"             of memfd_create(2), not opened with O_PATH; Linux only
//	"eventfd"           Linux only
//	"pidfd"             Linux only
//
// and for any other anonymous file of Linux the name that the kernel gives it
// in /proc/self/fd, without brackets: "timerfd", "signalfd", "eventpoll",
// "inotify", "seccomp notify", …
type Kind string

// ExpectError says what was wanted and what was received instead. All descriptors
// of the message are closed.
type ExpectError struct {
	// Index is which descriptor is wrong, counted from 0. It is -1 if there are too
	// few or too many, and for a message that was truncated.
	Index int

	// Want and Got are what was wanted and what was received, in words.
	Want, Got string

	// Err is the reason if a descriptor could not be examined: it wraps an errno,
	// or ErrUnsupported.
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

func (e *ExpectError) Unwrap() error { return e.Err }

// Recv is [Recv], and returns nil only for a message that is as expected. Its
// descriptors m.FDs[:m.NFD] are then the caller's, as is *m.PIDFD.
//
// If something is wrong the error is an [*ExpectError], and Recv has closed every
// descriptor of the message, *m.PIDFD included: m.NFD is 0, and the descriptors' places
// in m.FDs hold -1. The payload was received: it is in m.Buffers, with its length in
// m.N, so that a stream can go on. At the end of a stream there are no descriptors, and m.N is 0.
//
// m.FDs is the room, as for Recv. A message with more descriptors is truncated, and
// refused. On a socket with SO_PASSCRED that is so too if m does not ask for the
// credentials.
//
// Other errors are those of Recv: then nothing was received.
func (e Expect) Recv(sock int, m *Message, flags int) error {
	if err := Recv(sock, m, flags); err != nil {
		return err
	}
	return e.hold(m)
}

// hold holds a received message to what is expected.
func (e Expect) hold(m *Message) error {
	fds := m.FDs[:m.NFD]
	var failed *ExpectError
	if m.Flags&sys.ControlTruncated != 0 && !e.Truncated {
		failed = &ExpectError{Index: -1, Want: "a whole message", Got: descriptors(m.NFD) + " of a message that was cut"}
	} else {
		failed = e.find(fds)
	}
	if failed == nil {
		return nil
	}
	closeAll(fds)
	m.NFD = 0
	if m.PIDFD != nil && *m.PIDFD >= 0 {
		sys.Close(int(number(*m.PIDFD)))
		*m.PIDFD = -1
	}
	return failed
}

// Check returns nil if the descriptors fds are as expected; they stay open and
// the caller's. Otherwise it closes them all, puts -1 in their places, and
// returns an [*ExpectError].
func (e Expect) Check(fds []int) error {
	if failed := e.find(fds); failed != nil {
		closeAll(fds)
		return failed
	}
	return nil
}

// closeAll closes a number that is there twice once: it can be another file's by then.
func closeAll(fds []int) {
	for i, fd := range fds {
		if fd >= 0 && !slices.Contains(fds[i+1:], fd) {
			sys.Close(int(number(fd)))
		}
	}
	for i := range fds {
		fds[i] = -1
	}
}

// find returns what is wrong first, and closes nothing.
func (e Expect) find(fds []int) *ExpectError {
	if !sys.CanTell(string(e.Kind), e.Seals != 0 || e.Protocol != 0 || e.Access == "path") {
		return &ExpectError{Index: -1, Want: e.wanted(), Got: "a system that cannot tell", Err: ErrUnsupported}
	}
	if len(fds) < e.Min || len(fds) > e.Max {
		return &ExpectError{Index: -1, Want: e.number(), Got: descriptors(len(fds))}
	}
	for i, fd := range fds {
		f, err := sys.Look(int(number(fd)))
		switch {
		case err != nil:
			return &ExpectError{Index: i, Want: e.wanted(), Got: "one that could not be looked at", Err: err}
		case !e.takes(f):
			return &ExpectError{Index: i, Want: e.wanted(), Got: words(f)}
		}
	}
	return nil
}

// takes reports whether a file is as expected.
func (e Expect) takes(f sys.File) bool {
	if e.socket() && f.Kind != "socket" {
		return false
	}
	return (e.Kind == "" || string(e.Kind) == f.Kind) &&
		(e.Family == 0 || e.Family == f.Family) &&
		(e.Type == 0 || e.Type == f.Type) &&
		(e.Protocol == 0 || e.Protocol == f.Protocol) &&
		e.opened(f.Access) &&
		f.Seals&e.Seals == e.Seals
}

// socket reports whether something is wanted that only a socket has.
func (e Expect) socket() bool {
	return e.Family != 0 || e.Type != 0 || e.Protocol != 0
}

// opened reports whether an access mode is as expected.
func (e Expect) opened(access string) bool {
	switch e.Access {
	case "any":
		return true
	case "":
		return access != "path"
	case "read":
		return access == "read-only" || access == "read-write"
	case "write":
		return access == "write-only" || access == "read-write"
	}
	return access == e.Access
}

// number is how many are wanted, in words.
func (e Expect) number() string {
	switch {
	case e.Min == e.Max && e.Max <= 0:
		return "no descriptor"
	case e.Min == e.Max:
		return "exactly " + descriptors(e.Min)
	case e.Min <= 0:
		return "at most " + descriptors(e.Max)
	case e.Max >= MaxFDs:
		return "at least " + descriptors(e.Min)
	}
	return fmt.Sprintf("at least %d and at most %s", e.Min, descriptors(e.Max))
}

func descriptors(n int) string {
	switch n {
	case 0:
		return "no descriptor"
	case 1:
		return "1 descriptor"
	}
	return fmt.Sprintf("%d descriptors", n)
}

// wanted is what each descriptor must be, in words.
func (e Expect) wanted() string {
	kind := e.Kind
	if kind == "" && e.socket() {
		kind = "socket"
	}
	text := nameFile(kind, e.Family, e.Type, e.Protocol)
	if e.Seals != 0 {
		text += " sealed against " + nameSeals(e.Seals)
	}
	switch e.Access {
	case "", "any":
	case "read":
		text += " open for reading"
	case "write":
		text += " open for writing"
	default:
		text += " (" + nameAccess(kind, e.Access) + ")"
	}
	return text
}

// words is what a file is, in words.
func words(f sys.File) string {
	text := nameFile(Kind(f.Kind), f.Family, f.Type, f.Protocol) + " (" + nameAccess(Kind(f.Kind), f.Access) + ")"
	switch {
	case f.Kind == "memfd" && f.Seals == 0:
		text += " without seals"
	case f.Kind == "memfd":
		text += " sealed against " + nameSeals(f.Seals)
	}
	return text
}

// nameFile is a kind with what is known of a socket, and an article.
func nameFile(kind Kind, family, typ, protocol int) string {
	name := string(kind)
	switch kind {
	case "":
		name = "file"
	case "regular":
		name = "regular file"
	case "symlink":
		name = "symbolic link"
	case "socket":
		var words []string
		if family != 0 {
			words = append(words, sys.FamilyName(family))
		}
		if typ != 0 {
			words = append(words, sys.TypeName(typ))
		}
		name = strings.Join(append(words, "socket"), " ")
		if protocol != 0 {
			name += fmt.Sprintf(" of protocol %d", protocol)
		}
	}
	if strings.ContainsRune("aeioAEIO", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// nameAccess is an access mode in words: of a pipe it is an end.
func nameAccess(kind Kind, access string) string {
	switch {
	case access == "path":
		return "O_PATH"
	case kind == "pipe" && access == "read-only":
		return "read end"
	case kind == "pipe" && access == "write-only":
		return "write end"
	}
	return access
}

// nameSeals is what a file is sealed against.
func nameSeals(seals int) string {
	// The bits are F_SEAL_SEAL, F_SEAL_SHRINK, … in order, from 1.
	var words []string
	for i, word := range []string{"more seals", "shrinking", "growing", "writing", "future writing", "changes of mode"} {
		if bit := 1 << i; seals&bit != 0 {
			words = append(words, word)
			seals &^= bit
		}
	}
	if seals != 0 {
		words = append(words, fmt.Sprintf("%#x", seals))
	}
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
