package scm

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/sys"
)

// Expect is what a partner may pass: how many descriptors, and what each must be.
// [Expect.Recv], [Expect.Check] and [Config].Expect check received descriptors before anybody
// uses them, and close all of them if one is wrong. The zero value accepts no descriptor.
//
// On Linux fcntl(2), getsockopt(2), readlink(2) in /proc and statx(2) with AT_STATX_DONT_SYNC
// answer, which ask the kernel and not the server of the file. Other systems use fstat(2), and
// have no seals and none of the kinds of Linux's anonymous files: to ask for these is
// [errors.ErrUnsupported], and all descriptors are closed.
//
// An Expect that no file can match is EINVAL:
//
//	Kind               exact access modes a file can have    may be combined with
//	KindRegular        any                                   Seals
//	KindMemfd          read-only, write-only, read-write     Seals
//	KindSocket         read-write, path                      Family, Type, Protocol
//	KindDirectory      read-only, path
//	KindSymlink        path (read-only if not on Linux)
//	any other Kind     any
//
// Family, Type, Protocol and Seals match no descriptor opened with O_PATH, not even a socket or a
// memfd. With Family, Type or Protocol, Kind "" means KindSocket. With Seals, it means any file that can
// have seals.
type Expect struct {
	// Min and Max are how many descriptors there may be: at least n is n and MaxFDs. A Max that is
	// negative or less than Min is EINVAL.
	Min, Max int

	// Kind is what each must be. "" takes any.
	Kind Kind

	// Family, Type and Protocol are those of a socket, as in socket(2): unix.AF_UNIX, … 0
	// takes any, and any other value takes sockets only. Type is without flags such as
	// unix.SOCK_CLOEXEC. A Type or Protocol that the Family does not have is EINVAL; this is
	// checked for Unix, TCP and UDP sockets.
	//
	// Protocol is for Linux. A TCP listener made by package net has unix.IPPROTO_MPTCP, not
	// unix.IPPROTO_TCP: since Go 1.24 listeners use Multipath TCP if the kernel supports it (see
	// [net.ListenConfig.SetMultipathTCP]). A connection that it accepts from a plain TCP client has
	// unix.IPPROTO_TCP. To accept both, set Family and Type and leave Protocol 0.
	Family, Type, Protocol int

	// Access is what each must have been opened for. "" takes anything but AccessPath.
	Access Access

	// Seals must all be set, and others may be. unix.F_SEAL_SHRINK: the file cannot shrink, which
	// would end who reads its mapping by SIGBUS. unix.F_SEAL_WRITE: nobody can change what was
	// checked. Linux only.
	Seals int

	// Truncated accepts a message even if descriptors (MSG_CTRUNC) or bytes (MSG_TRUNC) are
	// missing.
	Truncated bool
}

// Kind is what kind of file a descriptor stands for. Beside the constants there are the names that Linux
// gives its namespaces ("net", "mnt", "pid", …) and its anonymous files: "timerfd", "signalfd", "eventpoll",
// "inotify", "fanotify", "io_uring", "perf_event", "userfaultfd", "seccomp notify", "bpf-map", "bpf-prog".
// For any other anonymous file, use the name that /proc shows: "anon_inode:[dma_fence]". Any other Kind is
// an error at once.
type Kind string

// KindSymlink is one that was opened with O_PATH and O_NOFOLLOW. From KindMemfd on they are Linux's.
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

// Access is what a file was opened for. Any other value is an error at once.
type Access string

// A file that was opened with O_ACCMODE itself is none of them but AccessAny.
const (
	AccessRead      Access = "read"       // reading, perhaps writing too
	AccessWrite     Access = "write"      // writing, perhaps reading too
	AccessReadWrite Access = "read-write" // both
	AccessReadOnly  Access = "read-only"  // reading, and not writing
	AccessWriteOnly Access = "write-only" // writing, and not reading
	AccessPath      Access = "path"       // neither: with O_PATH
	AccessAny       Access = "any"        // anything
)

// ExpectError says what was wanted and what was received instead. All descriptors
// of the message are closed.
type ExpectError struct {
	// Index is which descriptor is wrong, counted from 0, or -1: the number of them is, or the
	// message was truncated.
	Index int

	// Want and Got are what was wanted and what was received, in words.
	Want, Got string

	// Err is the reason if a descriptor could not be examined, and [io.ErrShortBuffer] if the
	// message was longer than the buffers.
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

// Recv is [Recv], and returns nil only for a message that is as expected. Its descriptors
// m.FDs[:m.NFD] are then the caller's, as is *m.PIDFD. Unless Truncated is set, Recv rejects a
// message with more than len(m.FDs) descriptors, and a datagram or seqpacket message that is longer
// than m.Buffers. (Empty m.Buffers ask for no bytes, so none are missing.)
//
// If something is wrong the error is an [*ExpectError], and Recv has closed every descriptor of the
// message, *m.PIDFD included: m.NFD is 0, and the descriptors' places in m.FDs hold -1. The payload is
// in m.Buffers, with its length in m.N, so that a stream can go on. The end of a stream or seqpacket
// connection is [io.EOF]. Other errors are those of Recv, and EINVAL for an Expect that no file can
// match, or whose Min is more than len(m.FDs): then nothing was received.
func (e Expect) Recv(sock int, m *Message, flags int) error {
	if err := e.checkRoom(m); err != nil {
		return err
	}
	if err := Recv(sock, m, flags); err != nil {
		return err
	}
	if m.isEmpty() {
		if network, err := sys.Network(int(number(sock))); err == nil && m.isEnd(network) {
			return io.EOF
		}
	}
	return e.verify(m)
}

// isEmpty reports whether a receive brought nothing.
func (m *Message) isEmpty() bool {
	return m.N == 0 && m.NFD == 0 && m.Flags&sys.MsgTrunc == 0 && (m.PIDFD == nil || *m.PIDFD < 0)
}

// isEnd reports whether a receive that brought nothing met the end. At the end of a stream Linux
// can set MSG_CTRUNC, for credentials that nobody sent; elsewhere a message has lost descriptors then.
func (m *Message) isEnd(network string) bool {
	switch network {
	case "unix":
		return !isEmpty(m.Buffers)
	case "unixpacket":
		return m.Flags&sys.ControlTruncated == 0
	}
	return false
}

// A kindRule says what files of one kind can be, and so what an Expect of that Kind can ask for.
type kindRule struct {
	kind   Kind
	access []string // the access modes, as in sys.File
	socket bool     // Family, Type and Protocol apply
	seals  bool     // Seals apply
}

var anyAccess = []string{"read-only", "write-only", "read-write", "path"}

// kindRules are the rules of all kinds but those that have any access mode and nothing else: pipes,
// devices, and the anonymous files, whose access modes differ between kernels.
var kindRules = []kindRule{
	{kind: KindRegular, access: anyAccess, seals: true}, // every file of a tmpfs has seals
	{kind: KindDirectory, access: []string{"read-only", "path"}},
	{kind: KindSymlink, access: []string{sys.SymlinkAccess}},
	{kind: KindSocket, access: []string{"read-write", "path"}, socket: true},
	{kind: KindMemfd, access: []string{"read-only", "write-only", "read-write"}, seals: true}, // with O_PATH it is regular
}

// rule returns the rule of e.Kind. If that is "", the other fields say which it is.
func (e Expect) rule() kindRule {
	kind := e.kind()
	if kind == "" && e.Seals != 0 {
		kind = KindRegular // the other kind that can have seals has no access mode that this lacks
	}
	for _, rule := range kindRules {
		if rule.kind == kind {
			return rule
		}
	}
	return kindRule{kind: kind, access: anyAccess}
}

// check returns EINVAL if no descriptor can match e.
func (e Expect) check() error {
	if problem := e.problem(); problem != "" {
		return sys.Error("scm: Expect "+problem, sys.EINVAL)
	}
	return nil
}

// problem says why no descriptor can match e. It is "" if one can.
func (e Expect) problem() string {
	if e.Kind != "" && !sys.KnownKind(string(e.Kind)) {
		return fmt.Sprintf("has an unknown Kind, %q", e.Kind)
	}
	switch e.Access {
	case "", AccessRead, AccessWrite, AccessReadWrite, AccessReadOnly, AccessWriteOnly, AccessPath, AccessAny:
	default:
		return fmt.Sprintf("has an unknown Access, %q", e.Access)
	}
	rule := e.rule()
	switch {
	case e.Max < 0:
		return fmt.Sprintf("has a negative Max, %d", e.Max)
	case e.Min > e.Max:
		return fmt.Sprintf("wants at least %d and at most %s", e.Min, descriptors(e.Max))
	case e.Family < 0 || e.Protocol < 0 || e.Seals < 0:
		return fmt.Sprintf("has a negative Family (%d), Protocol (%d) or Seals (%d)", e.Family, e.Protocol, e.Seals)
	case e.Type&^0xf != 0:
		return fmt.Sprintf("has a Type with flags, %#x", e.Type)
	case e.socket() && !rule.socket:
		return "is impossible: " + nameFile(rule.kind, 0, 0, 0) + " has no Family, Type or Protocol"
	case e.Seals != 0 && !rule.seals:
		return "is impossible: " + nameFile(rule.kind, 0, 0, 0) + " has no seals"
	case !sys.SocketExists(e.Family, e.Type, e.Protocol):
		return "is impossible: there cannot be " + e.file()
	case e.Access == AccessPath && (e.socket() || e.Seals != 0):
		return "is impossible: a descriptor opened with O_PATH has no Family, Type, Protocol or Seals"
	case !slices.ContainsFunc(rule.access, e.opened):
		return fmt.Sprintf(`is impossible: Access is %q, but %s can only have "%s"`, e.Access, e.file(), strings.Join(rule.access, `" or "`))
	}
	return ""
}

// checkRoom is check for a receive into m.
func (e Expect) checkRoom(m *Message) error {
	m.nothing()
	if err := e.check(); err != nil {
		return err
	}
	if len(m.FDs) < e.Min {
		return sys.Error("scm: Expect wants "+e.number()+" and m.FDs has room for "+room(len(m.FDs)), sys.EINVAL)
	}
	return nil
}

// verify closes all descriptors and returns an *ExpectError unless the message satisfies e.
func (e Expect) verify(m *Message) error {
	fds := m.FDs[:m.NFD]
	failed := e.truncated(m)
	if failed == nil {
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

// truncated returns what is missing from the message, unless e accepts that.
func (e Expect) truncated(m *Message) *ExpectError {
	descriptorsMissing := m.Flags&sys.ControlTruncated != 0
	bytesMissing := m.Flags&sys.MsgTrunc != 0 && !isEmpty(m.Buffers)
	if e.Truncated || !descriptorsMissing && !bytesMissing {
		return nil
	}
	failed := &ExpectError{Index: -1, Want: "a whole message"}
	if bytesMissing {
		size := 0
		for _, p := range m.Buffers {
			size += len(p)
		}
		failed.Got, failed.Err = fmt.Sprintf("only the first %d bytes", size), io.ErrShortBuffer
	}
	if bytesMissing && descriptorsMissing {
		failed.Got += " and "
	}
	if descriptorsMissing {
		failed.Got += descriptors(m.NFD) + " of a truncated one"
		if len(m.FDs) < e.Max && len(m.FDs) == m.NFD {
			failed.Got += "; Expect allows " + e.number() + " and m.FDs has room for " + room(len(m.FDs))
		}
	}
	return failed
}

// Check returns nil if the descriptors fds are as expected; they stay open and
// the caller's. Otherwise it closes them all, puts -1 in their places, and
// returns an [*ExpectError]. Its Err is EINVAL if no file can match e.
func (e Expect) Check(fds []int) error {
	var failed *ExpectError
	if err := e.check(); err != nil {
		failed = &ExpectError{Index: -1, Want: "a possible Expect", Got: "an impossible one", Err: err}
	} else {
		failed = e.find(fds)
	}
	if failed == nil {
		return nil
	}
	closeAll(fds)
	return failed
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
	if !sys.CanTell(string(e.Kind), e.Seals != 0 || e.Protocol != 0 || e.Access == AccessPath) {
		return &ExpectError{Index: -1, Want: e.wanted(), Got: "a system that cannot tell", Err: errors.ErrUnsupported}
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
	kind := e.kind()
	return (kind == "" || string(kind) == f.Kind) &&
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

// room is a number of descriptors behind "room for".
func room(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// were is descriptors with a verb.
func were(n int) string {
	if n < 2 {
		return descriptors(n) + " was"
	}
	return descriptors(n) + " were"
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

// kind is what each descriptor must be, as in sys.File. "" is any kind.
func (e Expect) kind() Kind {
	switch {
	case e.Kind == "" && e.socket():
		return KindSocket
	case strings.HasPrefix(string(e.Kind), "anon_inode:"):
		return Kind(sys.AnonymousKind(string(e.Kind)))
	}
	return e.Kind
}

// file describes the file that each descriptor must be, without its access mode.
func (e Expect) file() string {
	text := nameFile(e.kind(), e.Family, e.Type, e.Protocol)
	if e.Seals != 0 {
		text += " sealed against " + nameSeals(e.Seals)
	}
	return text
}

// wanted describes what each descriptor must be.
func (e Expect) wanted() string {
	kind, text := e.kind(), e.file()
	switch e.Access {
	case "", AccessAny:
	case AccessRead:
		text += " open for reading"
	case AccessWrite:
		text += " open for writing"
	default:
		text += " (" + nameAccess(kind, string(e.Access)) + ")"
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
			name += " of protocol " + nameProtocol(family, protocol)
		}
	}
	if strings.ContainsRune("aeioAEIO", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// nameProtocol is a protocol's number, after its name if it has one.
func nameProtocol(family, protocol int) string {
	if name := sys.ProtocolName(family, protocol); name != "" {
		return fmt.Sprintf("%s (%d)", name, protocol)
	}
	return strconv.Itoa(protocol)
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
