package scenario

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/kernel"
)

// An ActForm is a verb of the runner's own lines, and how it is used.
type ActForm struct {
	Example string // the verb, with words that it can have
	words   string // the forms of these words, of wordForms
	Does    string // what the example does
}

// ActForms are the verbs that the runner knows. The table in interop/catalogue/README.md is
// generated from them.
var ActForms = []ActForm{
	{"seek a=32", "NAME=OFFSET", "sets the offset of `a`, a regular file or memfd, by the runner's copy"},
	{"pos B x=32", "ROLE NAME=OFFSET", "B's number `x` has to be at this offset"},
	{"flags B x=nonblock,append", "ROLE NAME=FLAGS",
		"B's number `x` has to have these status flags, of these two; `-` is none"},
	{"pending B", "ROLE", "nothing may wait at B's socket but the end"},
	{"blocked B", "ROLE",
		"waits until B waits: it has read its command (`B>&`), has not answered, and all its threads sleep"},
	{"settled B", "ROLE",
		"waits until B has answered, or waits as for `blocked`: what it could do alone is done"},
	{"limit B nofile=+2", "ROLE LIMIT",
		"leaves B two free numbers below its RLIMIT_NOFILE; `nofile=64` makes 64 the limit; `nofile=-` gives it its own back, and so does the end of the case"},
	{"setsockopt B passcred=1", "ROLE NAME=VALUE", "sets an option of B's socket: see below"},
	{"shutdown B wr", "ROLE HOW", "shuts B's socket down: `rd`, `wr` or `rdwr`"},
	{"nonblock A", "ROLE", "makes A's socket non-blocking (O_NONBLOCK)"},
	{"unreported B a", "ROLE NAME",
		"B has one number for `a` that it did not report: it is called `a` from here on, and no leak"},
	{"drop a", "NAME", "closes the runner's copy of `a`"},
	{"eof a", "NAME",
		"the other end of the pipe or pair `a` has to come to its end, once nobody holds `a` any more; `drop a` comes first, and who has a number for it was told to close it. While it waits it closes sockets of its own now and then, as the kernel frees sockets that lie in each other's queues on such occasions"},
	{"kill B SIGUSR1", "ROLE SIGNAL",
		"sends a signal, to the thread that waits in a call on the case's socket if there is one. A side that the runner plays catches `SIGUSR1`, `SIGUSR2` and `SIGALRM`. After `SIGKILL` B is told nothing more, and where another one ends B the case is \"not run\". `SIGSTOP` waits until all threads of B have stopped; a call that one of them waited in returns, after `SIGCONT`, with what it had done"},
}

// wordForms are the forms of a word as regular expressions: its groups are fields of an Act.
var wordForms = strings.NewReplacer(
	"ROLE", `(?P<role>[AB])`,
	"NAME", `(?P<name>[a-z]+[0-9]*)`,
	"OFFSET", `(?P<number>[0-9]+)`,
	"VALUE", `(?P<number>-?[0-9]+)`,
	"LIMIT", `nofile=(?P<word>-$|\+?\b)(?P<number>[0-9]*)`,
	"FLAGS", `(?P<word>-|append|nonblock|append,nonblock|nonblock,append)`,
	"HOW", `(?P<word>rd|wr|rdwr)`,
	"SIGNAL", `(?P<word>SIGALRM|SIGCONT|SIGKILL|SIGSTOP|SIGTERM|SIGUSR1|SIGUSR2)`,
)

// Verb returns the first word of a line of this form.
func (f ActForm) Verb() string {
	verb, _, _ := strings.Cut(f.Example, " ")
	return verb
}

// An Act is a step that the runner does itself.
type Act struct {
	Verb   string
	Role   Role   // whom it is about, or A where it is about a file
	Name   string // of a file or an option
	Number int64  // the offset, the value or the limit
	Word   string // how, the signal, or the flags; of a limit "+", for so many more, or "-", for its own
}

// OfSocket reports whether the act needs the runner's copy of a side's socket, and OfFile
// whether it is about a file of the case.
func (a Act) OfSocket() bool {
	return slices.Contains([]string{"nonblock", "pending", "setsockopt", "shutdown"}, a.Verb)
}

func (a Act) OfFile() bool {
	return slices.Contains([]string{"seek", "drop", "eof", "unreported"}, a.Verb)
}

func parseAct(text string) (a Act, err error) {
	verb, words, _ := strings.Cut(text, " ")
	i := slices.IndexFunc(ActForms, func(f ActForm) bool { return f.Verb() == verb })
	if i < 0 {
		return a, fmt.Errorf("the runner has no %q", verb)
	}
	form := regexp.MustCompile("^" + wordForms.Replace(ActForms[i].words) + "$")
	if !form.MatchString(words) {
		return a, fmt.Errorf("%s is written as in %q, not %q", verb, "R> "+ActForms[i].Example, text)
	}
	group := func(name string) string { return form.ReplaceAllString(words, "${"+name+"}") }
	a = Act{Verb: verb, Role: Role(cmp.Or(group("role"), "A")[0]), Name: group("name"), Word: group("word")}
	if n := group("number"); n != "" {
		a.Number, err = strconv.ParseInt(n, 10, 32)
	}
	if _, known := kernel.FindOption(a.Name); verb == "setsockopt" && !known {
		return a, fmt.Errorf("no socket option: %q; options are %s", a.Name, strings.Join(kernel.OptionNames(), " "))
	}
	return a, err
}
