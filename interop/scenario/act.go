package scenario

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/kernel"
)

// An ActForm describes a verb that a transcript can use after "R>", with an example.
type ActForm struct {
	Example string // the verb with its words
	words   string // the forms of these words, as in wordForms
	Does    string // a description of the example
}

// ActForms lists the verbs that the runner supports. The table in
// interop/catalogue/peer/README.md is generated from this list.
var ActForms = []ActForm{
	{"seek a=32", "NAME=OFFSET",
		"sets the offset of `a`, a `file` or `memfd`, to 32"},
	{"pos B x=32", "ROLE NAME=OFFSET",
		"expects that B's descriptor `x` is at offset 32"},
	{"flags B x=nonblock,append", "ROLE NAME=FLAGS",
		"expects that of O_APPEND and O_NONBLOCK, exactly those listed are set on B's descriptor `x`; `-` means neither"},
	{"pending B", "ROLE",
		"expects that B's socket has nothing left to receive, except end of file"},
	{"blocked B", `ROLE( ms=VALUE)?`,
		"waits until B has read its command (`B>&`) and all its threads are asleep. If B answers instead, the case fails. With `ms=300`, it first waits for 300 ms"},
	{"settled B", "ROLE",
		"waits until B has answered its command (`B>&`) or is blocked"},
	{"limit B nofile=+2", "ROLE LIMIT",
		"sets B's RLIMIT_NOFILE so that B can open 2 more descriptors. `nofile=64` sets it to 64. `nofile=-`, and the end of the case, restore B's own limit"},
	{"setsockopt B passcred=1", "ROLE NAME=VALUE",
		"sets [an option](../kernel/README.md#socket-options) of B's socket"},
	{"shutdown B wr", "ROLE HOW",
		"shuts down B's socket for `rd`, `wr` or `rdwr`. B itself does nothing"},
	{"nonblock A", "ROLE",
		"sets O_NONBLOCK on A's socket"},
	{"drop a", "NAME",
		"closes the runner's own descriptor for `a`"},
	{"eof a", "NAME",
		"expects end of file at the other end of the pipe or pair `a`: no process and no queued message refers to `a`. Before this line, `drop a`, and close the descriptors that A and B have for `a`"},
	{"kill B SIGUSR1", "ROLE SIGNAL",
		"sends a signal to B. The thread that is blocked in a call on the case's socket, if there is one, receives it. After `SIGSTOP`, the runner waits until all threads have stopped. After `SIGKILL`, the scenario sends B no more commands, and needs no answer to the last one"},
}

// Signals lists the signals that the runner can send.
var Signals = []string{"SIGALRM", "SIGCONT", "SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1", "SIGUSR2"}

// wordForms replaces the words in an ActForm with regular expressions. Their groups are fields of an Act.
var wordForms = strings.NewReplacer(
	"ROLE", `(?P<role>[AB])`,
	"NAME", `(?P<name>[a-z]+[0-9]*)`,
	"OFFSET", `(?P<value>[0-9]+)`,
	"VALUE", `(?P<value>-?[0-9]+)`,
	"LIMIT", `nofile=(?P<word>-$|\+?\b)(?P<value>[0-9]*)`,
	"FLAGS", `(?P<word>-|append|nonblock|append,nonblock|nonblock,append)`,
	"HOW", `(?P<word>rd|wr|rdwr)`,
	"SIGNAL", `(?P<word>`+strings.Join(Signals, "|")+`)`,
)

// Verb returns the verb, which is the first word of Example.
func (f ActForm) Verb() string {
	verb, _, _ := strings.Cut(f.Example, " ")
	return verb
}

// An Act is a step that the runner carries out itself.
type Act struct {
	Verb  string
	Role  Role   // the role that the act affects, or A if it affects a file
	Name  string // the name of a file or an option
	Value int64  // the offset, the value of the option, the limit, or the time
	Word  string // the argument of shutdown, kill and flags; for limit, "+" if it is relative or "-" to restore it
}

// OfSocket reports whether the act applies to the socket of a.Role. The runner carries out such an act on
// its own descriptor for that socket.
func (a Act) OfSocket() bool {
	return slices.Contains([]string{"nonblock", "pending", "setsockopt", "shutdown"}, a.Verb)
}

// OfFile reports whether the act affects a file of the case.
func (a Act) OfFile() bool {
	return slices.Contains([]string{"seek", "drop", "eof"}, a.Verb)
}

// actForms returns the regular expressions for the words of ActForms, in the same order.
var actForms = sync.OnceValue(func() (list []*regexp.Regexp) {
	for _, f := range ActForms {
		list = append(list, regexp.MustCompile("^"+wordForms.Replace(f.words)+"$"))
	}
	return list
})

func parseAct(text string) (a Act, err error) {
	verb, words, _ := strings.Cut(text, " ")
	i := slices.IndexFunc(ActForms, func(f ActForm) bool { return f.Verb() == verb })
	if i < 0 {
		var verbs []string
		for _, f := range ActForms {
			verbs = append(verbs, f.Verb())
		}
		return a, fmt.Errorf("the runner has no verb %q; verbs are %s", verb, strings.Join(verbs, " "))
	}
	form := actForms()[i]
	if !form.MatchString(words) {
		return a, fmt.Errorf("%s is written as in %q, not %q", verb, "R> "+ActForms[i].Example, text)
	}
	group := func(name string) string { return form.ReplaceAllString(words, "${"+name+"}") }
	a = Act{
		Verb: verb,
		Role: Role(cmp.Or(group("role"), "A")[0]),
		Name: group("name"),
		Word: group("word"),
	}
	if n := group("value"); n != "" {
		a.Value, err = strconv.ParseInt(n, 10, 32)
	}
	if _, known := kernel.FindOption(a.Name); verb == "setsockopt" && !known {
		return a, fmt.Errorf("no socket option is called %q; options are %s", a.Name, strings.Join(kernel.OptionNames(), " "))
	}
	return a, err
}
