package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A Form is what a call takes, and what its answer gives.
type Form struct {
	Gives []string
	ways  []way
}

// A way is one to make a call: the fields that it takes.
type way struct {
	usage     string
	must, may []string
	options   bool // it takes the names of options, one at least
}

// Word reports whether the call takes the field.
func (f Form) Word(key string) bool {
	return slices.ContainsFunc(f.ways, func(w way) bool { return w.options || w.takes(key) })
}

func (w way) takes(key string) bool {
	return slices.Contains(w.must, key) || slices.Contains(w.may, key)
}

// parseWay reads a usage.
func parseWay(usage string) (verb string, w way) {
	verb, fields, _ := strings.Cut(usage, " ")
	w.usage = fields
	for word := range strings.FieldsSeq(fields) {
		key, _, _ := strings.Cut(strings.Trim(word, "[]"), "=")
		switch {
		case key == "NAME":
			w.options = true
		case word[0] == '[':
			w.may = append(w.may, key)
		default:
			w.must = append(w.must, key)
		}
	}
	return verb, w
}

// peerUsages are the commands of a peer in a scenario.
var peerUsages = []string{"send payload=P fds=x,… [at=K] [flags=F]", "recv bytes=N fds=N [at=K] [flags=F]", "close fds=x,…", "end"}

// ways returns the ways to say a verb.
func ways(verb string) (list []way) {
	for _, usage := range peerUsages {
		if v, w := parseWay(usage); v == verb {
			list = append(list, w)
		}
	}
	return slices.Concat(list, Forms()[verb].ways)
}

// checkFields returns an error if the fields of a line are those of no way to say it.
func checkFields(l Line) error {
	if len(l.Words) > 0 {
		return fmt.Errorf("%s takes no word %s", l.Verb, l.Words[0])
	}
	all := ways(l.Verb)
	for _, key := range slices.Sorted(maps.Keys(l.Fields)) {
		if !slices.ContainsFunc(all, func(w way) bool { return w.options || w.takes(key) }) {
			return fmt.Errorf("%s takes no %s=", l.Verb, Brief(key))
		}
	}
	var usages []string
	for _, w := range all {
		others := 0
		for key := range l.Fields {
			if !w.takes(key) {
				others++
			}
		}
		lacks := slices.ContainsFunc(w.must, func(key string) bool { _, ok := l.Fields[key]; return !ok })
		if !lacks && w.options == (others > 0) {
			return nil
		}
		usages = append(usages, w.usage)
	}
	return fmt.Errorf("%s takes %s", l.Verb, strings.Join(usages, ", or "))
}

// OwnFiles are the files outside the folder of the case that the reference may open: its
// own, in /proc.
var OwnFiles = []string{"/proc/self/auxv", "/proc/self/comm", "/proc/self/status"}

// Above is the folder above one that was received. Nothing but open takes it.
const Above = ".."

// Beneath reports whether a path stays in the folder to which it is relative, if no part of
// it is a symbolic link.
func Beneath(path string) bool {
	parts := strings.Split(path, "/")
	return !slices.Contains(parts, "") && !slices.Contains(parts, "..")
}

// Check returns an error if a path of a call leaves the folder of the case: a catalogue may
// be a stranger's, and the user's files are not its business.
func Check(verb string, fields map[string]string) error {
	for _, key := range []string{"path", "to", "name"} {
		path, ok := fields[key]
		if key == "name" {
			path, ok = strings.CutPrefix(path, "path:")
		}
		own := verb == "open" && (fields["dir"] == "" && slices.Contains(OwnFiles, path) || fields["dir"] != "" && path == Above)
		if ok && !own && !Beneath(path) {
			return fmt.Errorf("%s=%s is not below the folder of the case", key, fields[key])
		}
	}
	return nil
}

// A CallUsage is a way to make a call of the reference.
type CallUsage struct {
	Usage string // the call and its fields; those in brackets may be left out
	Gives string // the fields of its answer
	Does  string // what is to be said of it
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

// Forms returns the calls by their names.
var Forms = sync.OnceValue(func() map[string]Form {
	forms := map[string]Form{}
	for _, c := range CallUsages {
		verb, w := parseWay(c.Usage)
		f := forms[verb]
		f.ways = append(f.ways, w)
		f.Gives = append(f.Gives, strings.Fields(c.Gives)...)
		forms[verb] = f
	}
	return forms
})
