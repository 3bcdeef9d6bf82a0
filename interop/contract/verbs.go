package contract

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
)

// SocketTypes are the types of socket that scenarios are played on.
var SocketTypes = []string{"stream", "dgram", "seqpacket"}

// Options and Signals are the names of socket options and signals that scenarios can use.
var (
	Options = []string{"acceptconn", "error", "inq", "oobinline", "passcred", "passpidfd", "passrights", "passsec", "peekoff",
		"rcvbuf", "rcvlowat", "rcvtimeo", "reuseaddr", "rightsnotrunc", "sndbuf", "sndtimeo", "timestamp", "type"}
	Signals = []string{"SIGALRM", "SIGCONT", "SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1", "SIGUSR2"}
)

// Inherit is a message flag of the runner's own, and no flag of the kernel's: what is
// received is not close-on-exec.
const Inherit = "inherit"

// Words are the names that a call takes in a field, by the call and the field. Who makes the
// calls has their numbers, in the same order.
var Words = map[string][]string{
	"send flags":    {"dontwait", "nosignal", "eor", "oob", "more"},
	"recv flags":    {"dontwait", "peek", "trunc", "waitall", "oob"},
	"message flags": {"dontwait", "nosignal", "eor", "oob", "more", "peek", "trunc", "ctrunc", "waitall", "errqueue", Inherit},
	"open flags":    {"rdonly", "wronly", "rdwr", "create", "append", "trunc", "nonblock", "path", "directory", "tmpfile"},
	"fcntl flags":   {"append", "nonblock", "wronly", "rdwr", "path", "cloexec"},
	"poll events":   {"in", "out", "pri", "err", "hup", "rdhup", "nval"},
	"seal seals":    {"seal", "shrink", "grow", "write"},
	"mmap prot":     {"read", "write"},
	"socket family": {"unix", "inet", "netlink", "packet"},
	"shutdown how":  {"rd", "wr", "rdwr"},
	"lock how":      {"shared", "exclusive", "none"},
	"stat kind":     {"file", "dir", "fifo", "socket", "char", "block", "link"},
}

var (
	fd    = number(math.MinInt32, math.MaxInt32)
	int31 = number(0, math.MaxInt32)
	count = number(0, math.MaxInt)
	some  = math.MaxInt

	sendFlags = words(Words["message flags"][:10]) // without inherit
	recvFlags = words(Words["message flags"])
	special   = word("-", "null", "bad") // control buffers
	unixName  = matching(`path:.+|abstract:.*`)
	anyText   = matching(`.*`)
)

// fieldKinds are the values of the fields: of these verbs, or of all others that have them.
var fieldKinds = expand(map[string]kind{
	"sock fd dir":                  fd,
	"use.sock":                     int31,
	"fds":                          numbers(fd, 2, 2),
	"send.fds":                     numbers(fd, 0, some),
	"use.fds close.fds":            numbers(int31, 0, some),
	"adopt.fds":                    numbers(int31, 1, some),
	"recv.fds":                     number(0, math.MaxUint16),
	"at":                           int31,
	"send.at recv.at":              count,
	"payload":                      either(payload, word("none", "bad")),
	"send.payload":                 payload,
	"sendmmsg.payload":             each(payload),
	"bytes":                        either(room, word("bad")),
	"recv.bytes":                   room,
	"recvmmsg.bytes":               each(room),
	"splice.bytes sendfile.bytes":  argument,
	"send.flags":                   words(Words["send flags"]),
	"recv.flags":                   words(Words["recv flags"]),
	"sendmsg.flags sendmmsg.flags": sendFlags,
	"recvmsg.flags recvmmsg.flags": recvFlags,
	"open.flags":                   words(Words["open flags"]),
	"sendmsg.control":              either(control, special),
	"sendmmsg.control":             each(either(control, special)),
	"recvmsg.control":              either(controlRoom, edge, special),
	"recvmmsg.control":             each(either(controlRoom, word("-"))),
	"controllen":                   size,
	"fill":                         control,
	"type":                         word(SocketTypes...),
	"family":                       word(Words["socket family"]...),
	"name":                         either(unixName, inetName, word("auto")),
	"sendmsg.name":                 unixName,
	"backlog offset size NAME":     argument,
	"option":                       word(Options...),
	"events":                       words(Words["poll events"]),
	"wait":                         word("yes", "no"),
	"shutdown.how":                 word(Words["shutdown how"]...),
	"epoll.how":                    word("edge", "remove"),
	"lock.how":                     word(Words["lock how"]...),
	"kind":                         word("flock", "posix", "ofd"),
	"get":                          word("fl", "fd", "pipe_sz", "owner"),
	"set":                          setting,
	"seals":                        words(Words["seal seals"]),
	"prot":                         words(Words["mmap prot"]),
	"signal":                       word("SIGALRM", "SIGUSR1", "SIGUSR2"), // which the runner's sides catch
	"path to":                      anyText,
	"mode":                         mode,
	"uid":                          int31,
	"pid":                          either(word("A", "B"), int31),
})

// expand gives each of the words of a key a row of its own.
func expand[T any](rows map[string]T) map[string]T {
	all := map[string]T{}
	for keys, value := range rows {
		for key := range strings.FieldsSeq(keys) {
			all[key] = value
		}
	}
	return all
}

// A CallUsage is a way to say a verb.
type CallUsage struct {
	Usage string // the verb and its fields; those in brackets may be left out
	Gives string // the fields of its answer, as those: a call may leave out any
	Does  string // what is to be said of it
}

// commandUsages are what any peer understands. A new one is also for Case.answer in
// interop/peers/go/peer, and for the text of interop/peers/README.md; one that receives, for
// those who look for "recv" by name.
var commandUsages = []CallUsage{
	{"hello", "", ""},
	{"use sock=N [fds=N,…]", "", ""},
	{"send payload=P fds=x,… [at=K] [flags=F]", "n", ""},
	{"recv bytes=N fds=N [at=K] [flags=F]", "n payload fds [flags]", ""},
	{"close fds=x,…", "", ""},
	{"end", "", ""},
}

// CallUsages are the calls that the reference makes. A call that takes one field or another
// has a row for each. Forms follows from them, and the table in interop/catalogue/README.md
// is generated from them.
var CallUsages = []CallUsage{
	{"sendmsg payload=P [control=C] [controllen=N] [flags=F] [name=A] [sock=x] [at=K]", "n", "`payload=bad` is a buffer that faults, `none` is no iovec"},
	{"recvmsg bytes=N [control=N] [controllen=N] [fill=C] [flags=F] [sock=x] [at=K]", "n payload fds pidfd control controllen flags name", "`control` is the room, 0 bytes if it is `-` or not told; `bytes=bad` faults"},
	{"sendmmsg payload=P|P… [control=C|C…] [flags=F] [sock=x]", "n", "one part a message"},
	{"recvmmsg bytes=N|N… [control=N|N…] [flags=F] [sock=x]", "n payload fds pidfd control", "the same: `payload` and `control` have one part a message, `fds` and `pidfd` are lists"},
	{"read fd=x bytes=N [at=K]", "n payload", ""},
	{"write fd=x payload=P [at=K]", "n", ""},
	{"splice fds=x,y bytes=N", "n", "from x to y"},
	{"sendfile fds=x,y bytes=N", "n", "the same"},
	{"socket [type=T] [family=inet]", "fd", "of the type of the case's socket and `unix`, if none is told; `inet`, `netlink`, `packet`"},
	{"socketpair [type=T]", "fds", "of the type of the case's socket, if none is told"},
	{"bind [sock=x] name=A", "", ""},
	{"listen [sock=x] [backlog=N]", "", ""},
	{"connect [sock=x] name=A", "", ""},
	{"connect [sock=x] fd=y", "", "goes to where y is bound"},
	{"accept [sock=x]", "fd name", ""},
	{"sockname [sock=x]", "name", ""},
	{"peername [sock=x]", "name", ""},
	{"shutdown [sock=x] how=rd", "", ""},
	{"setsockopt [sock=x] NAME=VALUE…", "", ""},
	{"getsockopt [sock=x] option=NAME", "value", ""},
	{"peercred [sock=x]", "creds", ""},
	{"peerpidfd [sock=x]", "fd", ""},
	{"queued [sock=x]", "in out", "in bytes"},
	{"dup fd=x", "fd", ""},
	{"poll [fd=x] events=in,out [wait=yes]", "events", "without `wait`, it looks once"},
	{"epoll fds=e,x [how=edge]", "", "`how=remove` takes it away"},
	{"epollwait fd=e [wait=yes]", "n", ""},
	{"fcntl fd=x get=fl", "value", "or `get=fd`, `get=pipe_sz`, `get=owner`; `fl`: `append nonblock wronly rdwr path`; `fd`: `cloexec` or `-`"},
	{"fcntl fd=x set=fl:nonblock", "", "and `set=fd:cloexec`, `set=pipe_sz:4096`"},
	{"seal fd=x [seals=write,shrink]", "seals", "adds these, and tells what there is: `seal shrink grow write`"},
	{"lock fd=x how=exclusive [kind=ofd]", "", "without waiting; `shared`, `none`; `flock` if no kind is told, `posix`, `ofd`"},
	{"lseek fd=x [offset=N]", "value", ""},
	{"truncate fd=x size=N", "", ""},
	{"stat fd=x", "kind mode size links uid", "kinds: `file dir fifo socket char block link anonymous`; `mode=0640`"},
	{"mmap fd=x prot=read,write", "", "shared, a page"},
	{"pidof fd=p", "pid", "whose pidfd it is: `pid=A`"},
	{"signal fd=p signal=SIGUSR1", "", ""},
	{"setns fd=x", "", ""},
	{"inherited fd=x", "open", "whether a program that is started here has the number: `yes`, `no`"},
	{"adopt fds=x", "", "takes over what `R> unreported` has named, so that it can be closed"},
	{"open path=P [dir=x] [flags=rdwr,create] [mode=0600]", "fd", "flags: `rdonly wronly rdwr create append trunc nonblock path directory tmpfile`"},
	{"link fd=x path=P", "", "gives a name to a file that has none"},
	{"unlink path=P", "", ""},
	{"mkdir path=P [mode=0700]", "", ""},
	{"rename path=P to=P", "", ""},
	{"chmod path=P mode=0600", "", ""},
	{"chown path=P uid=N", "", ""},
	{"chdir path=P", "", ""},
	{"setuid uid=N", "", "for good, without groups: the session ends with the case. Limits are set before"},
	{"setuid pid=A", "", "the same, to a user who is named after a process, and of whom there is no other"},
}

// A Verb is what a side can be told, and what its answer has.
type Verb struct {
	Call   bool // only the runner's own side makes it
	ways   []usage
	answer usage // the fields of ok
}

// A usage is the fields of a line: those that it must have, and may. NAME is any option.
type usage struct {
	text      string
	must, may []string
}

// Verbs returns all verbs by their names.
var Verbs = sync.OnceValue(func() map[string]Verb {
	all := map[string]Verb{}
	for i, u := range slices.Concat(commandUsages, CallUsages) {
		name, fields, _ := strings.Cut(u.Usage, " ")
		v := all[name]
		v.Call = i >= len(commandUsages)
		v.ways = append(v.ways, usageOf(u.Usage, fields))
		gives := usageOf("", u.Gives)
		if v.Call {
			gives.must, gives.may = nil, gives.must
		}
		v.answer.must = append(v.answer.must, gives.must...)
		v.answer.may = append(v.answer.may, gives.may...)
		all[name] = v
	}
	return all
})

func usageOf(text, fields string) usage {
	u := usage{text: text}
	for field := range strings.FieldsSeq(fields) {
		key, _, _ := strings.Cut(strings.Trim(field, "[]"), "=")
		if field[0] == '[' {
			u.may = append(u.may, key)
		} else {
			u.must = append(u.must, key)
		}
	}
	return u
}

// takes reports whether a line can have these fields and no others.
func (u usage) takes(fields []string) bool {
	missing := func(key string) bool { return !slices.Contains(fields, key) }
	unknown := func(key string) bool { return !slices.Contains(u.must, key) && !slices.Contains(u.may, key) }
	return !slices.ContainsFunc(u.must, missing) && !slices.ContainsFunc(fields, unknown)
}

// A Command is a line as whoever is told it reads it.
type Command struct {
	Verb   string
	Values map[string]any // as fieldKinds have them
}

// Get returns the value of a field, or what counts if it is absent.
func Get[T any](c Command, key string, absent T) T {
	if value, ok := c.Values[key].(T); ok {
		return value
	}
	return absent
}

// ParseCommand reads a line. The verb is there for a line with a verb that there is, whatever
// else is wrong with it.
func ParseCommand(text string) (c Command, err error) {
	l, err := ParseLine(text)
	verb, ok := Verbs()[l.Verb]
	if !ok {
		return c, fmt.Errorf("no verb %s", Brief(l.Verb))
	}
	c = Command{l.Verb, map[string]any{}}
	if err != nil {
		return c, err
	}
	keys := slices.Sorted(maps.Keys(l.Fields))
	var fields []string // the same, with NAME for an option
	for _, key := range keys {
		if l.Verb == "setsockopt" && slices.Contains(Options, key) {
			key = "NAME"
		}
		fields = append(fields, key)
	}
	if len(l.Words) > 0 || !slices.ContainsFunc(verb.ways, func(u usage) bool { return u.takes(fields) }) {
		var usages []string
		for _, u := range verb.ways {
			usages = append(usages, u.text)
		}
		return c, fmt.Errorf("%s is written %s", l.Verb, strings.Join(usages, ", or "))
	}
	for i, key := range keys {
		read := fieldKinds[l.Verb+"."+fields[i]]
		if read == nil {
			read = fieldKinds[fields[i]]
		}
		if c.Values[key], ok = read(l.Fields[key]); !ok {
			return c, fmt.Errorf("%s= of %s has no such value", key, l.Verb)
		}
	}
	return c, nil
}
