// Package kernel has the words of the scenarios that test the kernel: the calls that the runner's
// own side makes besides the commands of a peer, their control messages and the socket options.
package kernel

import (
	"math"
	"regexp"

	"github.com/scm-rights/scm/interop/contract"
)

// A CallUsage is one way to write a call.
type CallUsage struct {
	Usage string // the call and its fields; those in brackets may be left out
	Gives string // the fields of its answer, any of which may be left out
	Does  string // a note for the documentation
}

// CallUsages are the calls that the reference, the runner's own side, makes. A call that takes
// either one field or another has a row for each. The table in interop/catalogue/README.md is
// generated from them.
//
// A new call is added here: a row, and below it the kinds of its fields that have none yet, and the
// words that its fields take. The code that makes the call is added to calls in interop/reference.
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

// Vocabulary has the commands of a peer and the calls.
var Vocabulary = contract.Commands.Extend(contract.Definitions{
	Forms:    forms(),
	Kinds:    kinds,
	Groups:   map[string][]string{"NAME": OptionNames()},
	FDFields: []string{"fd", "pidfd"},
})

// forms returns CallUsages for the parser, with each field of an answer in brackets.
func forms() (list []contract.Form) {
	field := regexp.MustCompile(`\S+`)
	for _, u := range CallUsages {
		list = append(list, contract.Form{Usage: u.Usage, Gives: field.ReplaceAllString(u.Gives, "[$0]")})
	}
	return list
}

// IsCall reports whether a command is a call, which no peer understands.
func IsCall(command string) bool {
	return Vocabulary.Has(command) && !contract.Commands.Has(command)
}

// Inherit is a message flag of the runner's own: without it, received descriptors are
// close-on-exec.
const Inherit = "inherit"

// Words are the words that a call takes in a field, by the call and the field. BitsOf pairs them
// with the system's constants, in the same order.
var Words = map[string][]string{
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
	fd    = contract.Integer(math.MinInt32, math.MaxInt32)
	int31 = contract.Integer(0, math.MaxInt32)

	payload = contract.KindOf(contract.ParsePayload)
	room    = contract.KindOf(contract.ParseRoom)

	control     = contract.KindOf(parseControl)
	controlRoom = contract.KindOf(parseControlRoom)
	noControl   = oneOf("-", "null", "bad")

	sendFlags = contract.WordList(Words["message flags"][:10]...) // without inherit
	recvFlags = contract.WordList(Words["message flags"]...)
	unixName  = matching(`path:.+|abstract:.*`)
	anyText   = matching(`.*`)
)

// kinds are the kinds of the fields. A field of one call alone has the call before it.
var kinds = map[string]contract.Kind{
	"sock fd dir":                  fd,
	"fds":                          contract.IntegerList(fd, 2, 2),
	"at":                           int31,
	"payload":                      either(payload, oneOf("none", "bad")),
	"sendmmsg.payload":             each(payload),
	"bytes":                        either(room, oneOf("bad")),
	"recvmmsg.bytes":               each(room),
	"splice.bytes sendfile.bytes":  argument,
	"sendmsg.flags sendmmsg.flags": sendFlags,
	"recvmsg.flags recvmmsg.flags": recvFlags,
	"open.flags":                   contract.WordList(Words["open flags"]...),
	"sendmsg.control":              either(control, noControl),
	"sendmmsg.control":             each(either(control, noControl)),
	"recvmsg.control":              either(controlRoom, contract.KindOf(parseEdge), noControl),
	"recvmmsg.control":             each(either(controlRoom, oneOf("-"))),
	"controllen":                   contract.KindOf(Size),
	"fill":                         control,
	"type":                         oneOf(contract.SocketTypes...),
	"family":                       oneOf(Words["socket family"]...),
	"name":                         either(unixName, contract.KindOf(parseInetName), oneOf("auto")),
	"sendmsg.name":                 unixName,
	"backlog offset size NAME":     argument,
	"option":                       oneOf(OptionNames()...),
	"events":                       contract.WordList(Words["poll events"]...),
	"wait":                         oneOf("yes", "no"),
	"shutdown.how":                 oneOf(Words["shutdown how"]...),
	"epoll.how":                    oneOf("edge", "remove"),
	"lock.how":                     oneOf(Words["lock how"]...),
	"kind":                         oneOf("flock", "posix", "ofd"),
	"get":                          oneOf("fl", "fd", "pipe_sz", "owner"),
	"set":                          contract.KindOf(parseSetting),
	"seals":                        contract.WordList(Words["seal seals"]...),
	"prot":                         contract.WordList(Words["mmap prot"]...),
	"signal":                       oneOf("SIGALRM", "SIGUSR1", "SIGUSR2"), // the reference catches these
	"path to":                      anyText,
	"mode":                         contract.KindOf(parseMode),
	"uid":                          int31,
	"pid":                          either(oneOf("A", "B"), int31),
}
