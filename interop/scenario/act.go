package scenario

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// An ActForm is a verb of the runner's own lines, and how it is used.
type ActForm struct {
	Example string   // the verb, with words that it can have
	Words   []string // the forms of these words
	Does    string   // what the example does
}

// ActForms are the verbs that the runner knows. The table in interop/catalogue/README.md is
// generated from them.
var ActForms = []ActForm{
	{"seek a=32", []string{"FILE=OFFSET"},
		"sets the offset of `a`, a regular file or memfd, by the runner's copy"},
	{"pos B x=32", []string{"ROLE", "NAME=OFFSET"},
		"B's number `x` has to be at this offset"},
	{"flags B x=nonblock,append", []string{"ROLE", "NAME=FLAGS"},
		"B's number `x` has to have these status flags, of these two; `-` is none"},
	{"pending B", []string{"ROLE"},
		"nothing may wait at B's socket but the end"},
	{"blocked B", []string{"ROLE"},
		"waits until B waits: it has read its command (`B>&`), has not answered, and all its threads sleep"},
	{"limit B nofile=+2", []string{"ROLE", "LIMIT"},
		"leaves B two free numbers below its RLIMIT_NOFILE; `nofile=64` makes 64 the limit; `nofile=-` gives it its own back, and so does the end of the case"},
	{"setsockopt B passcred=1", []string{"ROLE", "OPTION=VALUE"},
		"sets an option of B's socket: see below"},
	{"shutdown B wr", []string{"ROLE", "HOW"},
		"shuts B's socket down: `rd`, `wr` or `rdwr`"},
	{"nonblock A", []string{"ROLE"},
		"makes A's socket non-blocking (O_NONBLOCK)"},
	{"unreported B a", []string{"ROLE", "FILE"},
		"B has one number for `a` that nobody was told: it is called `a` from here on, and no leak"},
	{"drop a", []string{"FILE"},
		"closes the runner's copy of `a`"},
	{"eof a", []string{"FILE"},
		"the other end of the pipe or pair `a` has to come to its end, once nobody holds `a` any more; `drop a` comes first, and who has a number for it was told to close it. While it waits it closes sockets of its own now and then, as the kernel frees sockets that lie in each other's queues on such occasions"},
	{"kill B SIGUSR1", []string{"ROLE", "SIGNAL"},
		"sends a signal, to the thread that waits in a call on the case's socket if there is one. A side that the runner plays catches `SIGUSR1`, `SIGUSR2` and `SIGALRM`. After `SIGKILL` B is told nothing more, and where another one ends B the case is \"not run\""},
}

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

// OfSocket reports whether the act needs the runner's copy of a side's socket.
func (a Act) OfSocket() bool {
	return slices.Contains([]string{"nonblock", "pending", "setsockopt", "shutdown"}, a.Verb)
}

func parseAct(text string) (a Act, err error) {
	words := strings.Split(text, " ")
	verb := slices.IndexFunc(ActForms, func(f ActForm) bool { return f.Verb() == words[0] })
	if verb < 0 {
		return a, fmt.Errorf("the runner has no %q", words[0])
	}
	forms := ActForms[verb].Words
	if len(words)-1 != len(forms) {
		return a, fmt.Errorf("%s takes %s", words[0], strings.Join(forms, " "))
	}
	a = Act{Verb: words[0], Role: RoleA}
	for i, form := range forms {
		if err := a.read(form, words[i+1]); err != nil {
			return a, err
		}
	}
	return a, nil
}

// mostLimit is the highest limit of open files that a scenario sets: any system allows a
// process so many.
const mostLimit = 1024

// switches are the options that are on or off.
var switches = []string{"inq", "oobinline", "passcred", "passpidfd", "passrights", "passsec", "reuseaddr", "rightsnotrunc", "timestamp"}

// settable tells whether a socket option can have the value.
func settable(option string, value int64) bool {
	switch {
	case slices.Contains([]string{"acceptconn", "error", "type"}, option):
		return false
	case slices.Contains(switches, option):
		return value == 0 || value == 1
	case option == "peekoff" && value == -1: // off
		return true
	}
	return value >= 0 && value <= math.MaxInt32
}

// read reads a word that has this form.
func (a *Act) read(form, word string) (err error) {
	name, value, _ := strings.Cut(word, "=")
	switch form {
	case "ROLE":
		if word != "A" && word != "B" {
			return fmt.Errorf("no such role: %q", word)
		}
		a.Role = Role(word[0])
	case "FILE":
		a.Name = word
	case "LIMIT":
		free, ok := strings.CutPrefix(word, "nofile=")
		if a.Word = free; ok && free == "-" {
			return nil
		}
		a.Word = free[:len(free)-len(strings.TrimPrefix(free, "+"))]
		n, err := strconv.Atoi(free[len(a.Word):])
		if !ok || err != nil || n < 0 || n > mostLimit {
			return fmt.Errorf("a limit is nofile=+N, nofile=N or nofile=-, of at most %d, not %q", mostLimit, word)
		}
		a.Number = int64(n)
	case "NAME=FLAGS":
		if !slices.Contains([]string{"-", "append", "nonblock", "append,nonblock", "nonblock,append"}, value) {
			return fmt.Errorf("status flags are append, nonblock, both or -, not %q", value)
		}
		a.Name, a.Word = name, value
	case "HOW":
		if !slices.Contains([]string{"rd", "wr", "rdwr"}, word) {
			return fmt.Errorf("a socket is shut down by rd, wr or rdwr, not %q", word)
		}
		a.Word = word
	case "SIGNAL":
		if !slices.Contains(contract.Signals, word) {
			return fmt.Errorf("no signal: %q; signals are %s", word, strings.Join(contract.Signals, " "))
		}
		a.Word = word
	default:
		a.Name = name
		if a.Number, err = strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Errorf("%s is not %s", word, form)
		}
		switch {
		case strings.HasSuffix(form, "=OFFSET") && (a.Number < 0 || a.Number > math.MaxInt32):
			return fmt.Errorf("an offset is from 0 to %d: %s", math.MaxInt32, word)
		case form != "OPTION=VALUE":
		case !slices.Contains(contract.Options, name):
			return fmt.Errorf("no socket option: %q; options are %s", name, strings.Join(contract.Options, " "))
		case !settable(name, a.Number):
			return fmt.Errorf("%s cannot be set", word)
		}
	}
	return nil
}
