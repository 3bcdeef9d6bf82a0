// Package kernel defines the vocabulary of the scenarios that test the kernel. The vocabulary consists of
// the commands that every peer implements and of calls that only the runner's own processes can make. The
// package also defines the control messages for these calls, and the socket options.
package kernel

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A CallUsage describes the syntax of a call.
type CallUsage struct {
	Usage string // the call and its fields; those in brackets may be left out
	Gives string // the fields of its answer, any of which may be left out
	Does  string // a note for the documentation
}

// CallUsages lists the calls that the runner's own processes can make (see package reference). A call that
// takes one of several alternative fields has a row for each alternative. The table in
// interop/catalogue/kernel/README.md is generated from this list.
//
// To add a call, add a row here. Below the list, add a kind for each field that does not have one
// yet, and the words that the fields accept. Implement the call in the map calls of
// interop/reference.
var CallUsages = []CallUsage{
	{"sendmsg payload=P [control=C] [controllen=N] [flags=F] [name=ADDR] [sock=x] [at=K]", "n", "`payload=bad`: a buffer that faults; `payload=none`: no iovec"},
	{"recvmsg bytes=N [control=N] [controllen=N] [fill=C] [flags=F] [sock=x] [at=K]", "n payload fds pidfd control controllen flags name", "`control`: the size of the control buffer, 0 if it is `-` or left out; `bytes=bad`: a buffer that faults"},
	{"sendmmsg payload=P|P… [control=C|C…] [flags=F] [sock=x]", "n", "one part per message"},
	{"recvmmsg bytes=N|N… [control=N|N…] [flags=F] [sock=x]", "n payload fds pidfd control", "one part per message; in the answer, `payload` and `control` have one part per message, and `fds` and `pidfd` list those of all messages"},
	{"read fd=x bytes=N [at=K]", "n payload", ""},
	{"write fd=x payload=P [at=K]", "n", ""},
	{"splice fds=x,y bytes=N", "n", "from x to y"},
	{"sendfile fds=x,y bytes=N", "n", "from x to y"},
	{"socket [type=T] [family=inet]", "fd", "default: the type of the case's socket, and `family=unix`; families: " + listed(Words["socket family"])},
	{"socketpair [type=T]", "fds", "default: the type of the case's socket"},
	{"bind [sock=x] name=ADDR", "", ""},
	{"listen [sock=x] [backlog=N]", "", ""},
	{"connect [sock=x] name=ADDR", "", ""},
	{"connect [sock=x] fd=y", "", "connects to the address of y"},
	{"accept [sock=x]", "fd name", ""},
	{"sockname [sock=x]", "name", ""},
	{"peername [sock=x]", "name", ""},
	{"shutdown [sock=x] how=rd", "", "how: " + listed(Words["shutdown how"])},
	{"setsockopt [sock=x] NAME=VALUE…", "", ""},
	{"getsockopt [sock=x] option=NAME", "value", ""},
	{"peercred [sock=x]", "creds", ""},
	{"peerpidfd [sock=x]", "fd", ""},
	{"queued [sock=x]", "in out", "bytes in the receive queue and in the send queue"},
	{"dup fd=x", "fd", ""},
	{"poll [fd=x] events=in,out [wait=yes]", "events", "returns at once without `wait=yes`"},
	{"epoll fds=e,x [how=edge]", "", "adds x to the epoll instance e; `how=remove` removes it"},
	{"epollwait fd=e [wait=yes]", "n", ""},
	{"fcntl fd=x get=fl", "value", "also `get=fd`, `get=pipe_sz`, `get=owner`; the flags of `fl` are " + listed(without(Words["fcntl flags"], "cloexec")) + ", that of `fd` is `cloexec`; `-` for none"},
	{"fcntl fd=x set=fl:nonblock", "", "also `set=fd:cloexec`, `set=pipe_sz:4096`"},
	{"seal fd=x [seals=write,shrink]", "seals", "adds seals and returns all seals of x; they are " + listed(Words["seal seals"])},
	{"lock fd=x how=exclusive [kind=ofd]", "", "never waits; how: " + listed(Words["lock how"]) + "; also `kind=posix`; default: `kind=flock`"},
	{"lseek fd=x [offset=N]", "value", "returns the current offset without `offset=`"},
	{"truncate fd=x size=N", "", ""},
	{"stat fd=x", "kind mode size links uid", "kinds: " + listed(Words["stat kind"]) + ", and `anonymous`; `mode=0640`"},
	{"mmap fd=x prot=read,write", "", "maps and unmaps one page, shared"},
	{"pidof fd=p", "pid", "the process of a pidfd: `pid=A`"},
	{"signal fd=p signal=SIGUSR1", "", ""},
	{"setns fd=x", "", ""},
	{"inherited fd=x", "open", "whether a program that this process starts inherits x: `yes`, `no`"},
	{"open path=P [dir=x] [flags=rdwr,create] [mode=0600]", "fd", "flags: " + listed(Words["open flags"])},
	{"link fd=x path=P", "", "gives a name to a file without one"},
	{"unlink path=P", "", ""},
	{"mkdir path=P [mode=0700]", "", ""},
	{"rename path=P to=P", "", ""},
	{"chmod path=P mode=0600", "", ""},
	{"chown path=P uid=N", "", ""},
	{"chdir path=P", "", ""},
	{"setuid uid=N", "", "permanent, and drops all groups, so the pair ends with the case; set limits before it"},
	{"setuid pid=A", "", "the same, to a user ID that is derived from a process and that no other case uses"},
}

// listed returns words for the documentation of a call.
func listed(words []string) string { return "`" + strings.Join(words, " ") + "`" }

// Vocabulary contains the commands that every peer implements and the calls in CallUsages.
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

// IsCall reports whether a command is a call, which only the runner's own processes support.
func IsCall(command string) bool {
	return Vocabulary.Has(command) && !contract.Commands.Has(command)
}

// Inherit is a flag for receives that exists in scenarios but not in the kernel. Descriptors that
// are received without it are close-on-exec.
const Inherit = "inherit"

// Words maps a call and one of its fields, such as "open flags", to the words that the field
// accepts. BitsOf pairs these words with constants of the operating system.
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

	sendFlags = contract.WordList(without(Words["message flags"], Inherit)...)
	recvFlags = contract.WordList(Words["message flags"]...)
	unixName  = matching(`path:.+|abstract:.*`)
	anyText   = matching(`.*`)
)

func without(words []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == word })
}

// kinds contains the kinds of the fields. A key CALL.FIELD applies to a field of one call, and a
// key FIELD applies to the field of that name in every other call.
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
