package contract

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mostPayload is how long a payload may be, all buffers together, and the room of a receive.
const mostPayload = 64 << 20

// longestHex is the longest payload that is written in hexadecimal.
const longestHex = 4096

// Options and Signals are the names of socket options and signals that scenarios can use.
var (
	Options = []string{"acceptconn", "error", "inq", "oobinline", "passcred", "passpidfd", "passrights", "passsec", "peekoff", "rcvbuf",
		"rcvlowat", "rcvtimeo", "reuseaddr", "rightsnotrunc", "sndbuf", "sndtimeo", "timestamp", "type"}
	Signals = []string{"SIGALRM", "SIGCONT", "SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1", "SIGUSR2"}
)

// CaughtSignals are those that the runner's sides catch: they interrupt a call that waits.
var CaughtSignals = []string{"SIGALRM", "SIGUSR1", "SIGUSR2"}

// Words are the names that a call takes in a field, by the call and the field.
var Words = map[string][]string{
	"send flags":     {"dontwait", "nosignal", "eor", "oob", "more"},
	"recv flags":     {"dontwait", "peek", "trunc", "waitall", "oob"},
	"message flags":  {"dontwait", "nosignal", "eor", "oob", "more", "peek", "trunc", "ctrunc", "waitall", "errqueue"},
	"open flags":     {"rdonly", "wronly", "rdwr", "create", "append", "trunc", "nonblock", "path", "directory", "tmpfile"},
	"fcntl flags":    {"append", "nonblock", "wronly", "rdwr", "path", "cloexec"},
	"poll events":    {"in", "out", "pri", "err", "hup", "rdhup", "nval"},
	"seal seals":     {"seal", "shrink", "grow", "write"},
	"mmap prot":      {"read", "write"},
	"socket family":  {"unix", "inet", "netlink", "packet"},
	"shutdown how":   {"rd", "wr", "rdwr"},
	"epoll how":      {"edge", "remove"},
	"lock how":       {"shared", "exclusive", "none"},
	"lock kind":      {"flock", "posix", "ofd"},
	"fcntl get":      {"fl", "fd", "pipe_sz", "owner"},
	"poll wait":      {"yes", "no"},
	"received flags": {"ctrunc", "trunc", "eor", "oob"},
	"stat kind":      {"file", "dir", "fifo", "socket", "char", "block", "link", "anonymous"},
}

// Inherit is a message flag of the runner's own, and no flag of the kernel's: what is
// received is not close-on-exec.
const Inherit = "inherit"

// A form tells whether a field may have this value.
type form func(value string) bool

// forms are the values of the fields: of one call, or of all that have the field.
var forms = map[string]form{
	"send payload": isPayload,
	"send fds":     numbers(math.MinInt32, 0),
	"send at":      printed(math.MaxInt),
	"send flags":   words("send flags"),
	"recv bytes":   isRoom,
	"recv fds":     printed(math.MaxUint16),
	"recv at":      printed(math.MaxInt),
	"recv flags":   words("recv flags"),
	"close fds":    numbers(0, 0),

	"payload":          or(isPayload, one("none", "bad")),
	"sendmmsg payload": each(isPayload),
	"bytes":            or(isRoom, one("bad")),
	"recvmmsg bytes":   each(isRoom),
	"splice bytes":     isInt,
	"sendfile bytes":   isInt,
	"at":               printed(math.MaxInt32),
	"sendmsg flags":    words("message flags"),
	"sendmmsg flags":   words("message flags"),
	"recvmsg flags":    words("message flags", Inherit),
	"recvmmsg flags":   words("message flags", Inherit),
	"sendmsg control":  or(isControl, one("-", "null", "bad")),
	"sendmmsg control": each(or(isControl, one("-", "null", "bad"))),
	"recvmsg control":  or(isControlRoom, isEdge, one("-", "null", "bad")),
	"recvmmsg control": each(or(isControlRoom, one("-"))),
	"controllen":       isSize,
	"fill":             isControl,
	"sock":             isFD,
	"fd":               isFD,
	"dir":              isFD,
	"fds":              numbers(math.MinInt32, 2),
	"adopt fds":        func(value string) bool { return value != "-" && numbers(0, 0)(value) },
	"type":             one(SocketTypes...),
	"family":           one(Words["socket family"]...),
	"name":             or(isSocketName, isInet, one("auto")),
	"sendmsg name":     isSocketName,
	"backlog":          isInt,
	"shutdown how":     one(Words["shutdown how"]...),
	"option":           one(Options...),
	"events":           words("poll events"),
	"wait":             one(Words["poll wait"]...),
	"epoll how":        one(Words["epoll how"]...),
	"get":              one(Words["fcntl get"]...),
	"set":              isFcntlSet,
	"seals":            words("seal seals"),
	"lock how":         one(Words["lock how"]...),
	"kind":             one(Words["lock kind"]...),
	"offset":           isInt,
	"size":             isInt,
	"prot":             words("mmap prot"),
	"signal":           one(CaughtSignals...),
	"path":             isAny,
	"to":               isAny,
	"open flags":       words("open flags"),
	"mode":             isMode,
	"uid":              printed(math.MaxInt32),
	"pid":              or(one("A", "B"), printed(math.MaxInt32)),
}

// CheckValues returns an error if the one that is told the line could not carry it out: it
// lacks a field, has another or those of two ways to make the call, or a value is none.
// Descriptors are numbers in it; said is the line as an error quotes it.
func CheckValues(l, said Line) error {
	if err := checkFields(l); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(l.Fields)) {
		valid, ok := forms[l.Verb+" "+key]
		if !ok {
			valid, ok = forms[key]
		}
		if l.Verb == "setsockopt" && key != "sock" {
			valid, ok = func(value string) bool { return slices.Contains(Options, key) && isInt(value) }, true
		}
		if !ok || !valid(l.Fields[key]) {
			return unreadable(said, key)
		}
	}
	if key := misfit(l); key != "" {
		return unreadable(said, key)
	}
	return nil
}

func unreadable(l Line, key string) error {
	return fmt.Errorf("%s=%s cannot be read by who is told to %s", key, Brief(l.Fields[key]), l.Verb)
}

// misfit returns a field that does not fit the others: messages and control buffers that
// are not as many, or more than there may be together, or a msg_controllen behind what is
// there.
func misfit(l Line) (key string) {
	if strings.HasSuffix(l.Verb, "mmsg") {
		return misfitPart(l)
	}
	text, ok := l.Fields["controllen"]
	if !ok {
		return ""
	}
	n, _ := Size(text)
	control := l.Fields["control"]
	switch {
	case control == "null", control == "bad", strings.HasPrefix(control, "edge("):
		return "" // the kernel reads and writes nothing of ours
	case l.Verb == "recvmsg":
		room, _ := Size(control) // 0, if it is not told
		if uint(n) <= uint(room) {
			return ""
		}
	default:
		// The kernel refuses a length above INT_MAX before it reads what is there.
		there := controlSize(control)
		if there == 0 || uint(n) <= uint(there) || uint(n) > math.MaxInt32 {
			return ""
		}
	}
	return "controllen"
}

// misfitPart is misfit of a call for several messages.
func misfitPart(l Line) (key string) {
	key, left := "payload", mostPayload
	if l.Verb == "recvmmsg" {
		key = "bytes"
	}
	parts := strings.Split(l.Fields[key], "|")
	for _, part := range parts {
		if key == "bytes" {
			left -= roomBytes(part)
		} else {
			left -= payloadBytes(part)
		}
	}
	if left < 0 {
		return key
	}
	control, ok := l.Fields["control"]
	if !ok {
		return ""
	}
	controls := strings.Split(control, "|")
	for _, part := range controls {
		if l.Verb == "sendmmsg" {
			left -= controlSize(part)
		}
	}
	if left < 0 || len(controls) != len(parts) {
		return "control"
	}
	return ""
}

// answers are the values that a scenario can expect of the fields of an answer: of that to
// one call, to a call with this get=, or to all that have the field.
var answers = map[string]form{
	"recv fds": isAny, // who asks wants closed, too

	"n":                   printed(math.MaxInt),
	"payload":             isReceived,
	"recvmmsg payload":    each(isReceived),
	"fds":                 isNames,
	"socketpair fds":      func(value string) bool { return isNames(value) && strings.Count(value, ",") == 1 },
	"fd":                  isOneName,
	"pidfd":               isOneName,
	"recvmmsg pidfd":      func(value string) bool { return value != "-" && isNames(value) },
	"flags":               func(value string) bool { return value == "-" || isSet(value, isFlag) },
	"control":             isReceivedControl,
	"recvmmsg control":    each(isReceivedControl),
	"controllen":          isLength,
	"name":                or(isSocketName, isInet, one("-")),
	"creds":               isReceivedCreds,
	"getsockopt value":    isPrinted,
	"lseek value":         isCount,
	"fcntl fl value":      set("fcntl flags"),
	"fcntl fd value":      one("-", "cloexec"),
	"fcntl pipe_sz value": isCount,
	"fcntl owner value":   isPrinted,
	"in":                  isCount,
	"out":                 isCount,
	"events":              set("poll events"),
	"seals":               set("seal seals"),
	"kind":                one(Words["stat kind"]...),
	"mode":                isMode,
	"size":                isCount,
	"links":               isCount,
	"uid":                 isCount,
	"pid":                 or(one("A", "B", "-1"), printed(math.MaxInt32)),
	"open":                one("yes", "no"),
}

// answerValue returns the form of a field of the answer to a line, or nil if there is none.
func answerValue(asked Line, key string) form {
	for _, of := range []string{asked.Verb + " " + asked.Fields["get"] + " ", asked.Verb + " ", ""} {
		if valid, ok := answers[of+key]; ok {
			return valid
		}
	}
	return nil
}

// CheckAnswerValues returns an error if an expected ok has a field that the answer to what
// was asked cannot have, or lacks a descriptor that it always has. Any field but those of
// descriptors may be "*".
func CheckAnswerValues(asked, l Line) error {
	for _, key := range slices.Sorted(maps.Keys(l.Fields)) {
		value, valid := l.Fields[key], answerValue(asked, key)
		anything := value == "*" && !slices.Contains(NumberFields, key)
		if valid == nil || !anything && !valid(value) {
			return fmt.Errorf("%s=%s is in no answer to %s", key, Brief(value), asked.Verb)
		}
	}
	gives, _ := FormOf(asked.Verb)
	for _, key := range []string{"fds", "fd"} {
		if slices.Contains(gives.may, key) && l.Fields[key] == "" && !answerValue(asked, key)("-") {
			return fmt.Errorf("no %s= in the answer to %s", key, asked.Verb)
		}
	}
	return nil
}

// Same reports whether two values of a field say the same: words of a set in whatever
// order, and a mode with any number of zeros before it.
func Same(key, one, two string) bool {
	switch key {
	case "events", "seals", "value":
		return slices.Equal(slices.Sorted(strings.SplitSeq(one, ",")), slices.Sorted(strings.SplitSeq(two, ",")))
	case "mode":
		return strings.TrimLeft(one, "0") == strings.TrimLeft(two, "0")
	}
	return one == two
}

func isAny(string) bool { return true }

func one(list ...string) form {
	return func(value string) bool { return slices.Contains(list, value) }
}

func or(ways ...form) form {
	return func(value string) bool { return slices.ContainsFunc(ways, func(f form) bool { return f(value) }) }
}

// words are a list of names, or "-".
func words(of string, more ...string) form {
	list := slices.Concat(Words[of], more)
	return func(value string) bool {
		return value == "-" || !slices.ContainsFunc(strings.Split(value, ","), func(w string) bool { return !slices.Contains(list, w) })
	}
}

// set are names, each at most once, or "-".
func set(of string) form {
	return func(value string) bool {
		return value == "-" || isSet(value, one(Words[of]...))
	}
}

// isSet tells whether a value is a list without a word that is there twice.
func isSet(value string, word form) bool {
	list := strings.Split(value, ",")
	return !slices.ContainsFunc(list, func(w string) bool { return !word(w) }) && len(slices.Compact(slices.Sorted(slices.Values(list)))) == len(list)
}

// each are parts between bars.
func each(part form) form {
	return func(value string) bool {
		return !slices.ContainsFunc(strings.Split(value, "|"), func(p string) bool { return !part(p) })
	}
}

// printed are numbers from 0 to most, as they would be printed.
func printed(most int) form {
	return func(value string) bool { return isNumber(value, 0, most) }
}

// numbers are lists of descriptors: so many, or any number of them, with "-" for none.
func numbers(least, count int) form {
	return func(value string) bool {
		list := strings.Split(value, ",")
		bad := slices.ContainsFunc(list, func(n string) bool { return !isNumber(n, least, math.MaxInt32) })
		return !bad && (count == 0 || len(list) == count) || count == 0 && value == "-"
	}
}

func isFD(value string) bool { return isNumber(value, math.MinInt32, math.MaxInt32) }

// isNumber tells whether a word is a number from least to most, as it would be printed.
func isNumber(word string, least, most int) bool {
	n, err := strconv.Atoi(word)
	return err == nil && n >= least && n <= most && strconv.Itoa(n) == word
}

// isInt tells whether a word is a number that a call takes.
func isInt(word string) bool {
	n, err := strconv.ParseInt(word, 0, 64)
	return err == nil && n >= math.MinInt32 && n <= math.MaxUint32
}

// payloadBytes is how many bytes a list of buffers has, HEX, @N or -, or -1 if it is none.
func payloadBytes(value string) (total int) {
	for _, b := range strings.Split(value, ",") {
		count, pattern := strings.CutPrefix(b, "@")
		switch {
		case b == "-":
		case pattern && isNumber(count, 1, mostPayload):
			n, _ := strconv.Atoi(count)
			total += n
		case isHex(b):
			total += len(b) / 2
		default:
			return -1
		}
		if total > mostPayload {
			return -1
		}
	}
	return total
}

// roomBytes is how many bytes a list of sizes of buffers stands for, or -1 if it is none.
func roomBytes(value string) (total int) {
	for _, b := range strings.Split(value, ",") {
		if !isNumber(b, 0, mostPayload-total) {
			return -1
		}
		n, _ := strconv.Atoi(b)
		total += n
	}
	return total
}

func isPayload(value string) bool { return payloadBytes(value) >= 0 }

func isRoom(value string) bool { return roomBytes(value) >= 0 }

// isReceived tells whether a value is what a receive may report of its payload.
func isReceived(value string) bool {
	if at, differs := strings.CutPrefix(value, "!"); differs {
		return isNumber(at, 0, mostPayload)
	}
	n := payloadBytes(value)
	return n >= 0 && !strings.Contains(value, ",") && strings.HasPrefix(value, "@") == (n > longestHex)
}

// isNames tells whether a value is a list of names of descriptors, none of which the
// receiver has closed.
func isNames(value string) bool {
	return !slices.ContainsFunc(strings.Split(value, ","), func(name string) bool { return strings.HasPrefix(name, "closed") })
}

// isOneName tells whether a value is one name, perhaps with another for later.
func isOneName(value string) bool { return oneName.MatchString(value) && isNames(value) }

var (
	oneName   = regexp.MustCompile(`^[a-z]+[0-9]*(:[^,*.]*)?$`)
	octalMode = regexp.MustCompile(`^0([1-7]?[0-7]{3})?$`)
)

// isMode tells whether a value is a mode in octal digits: 0640, 01777 or 0.
func isMode(value string) bool { return octalMode.MatchString(value) }

// isCount tells whether a word is a number from 0 on, as it would be printed.
func isCount(word string) bool {
	n, err := strconv.ParseUint(word, 10, 63)
	return err == nil && strconv.FormatUint(n, 10) == word
}

// isHex tells whether a word is bytes, and at least one.
func isHex(word string) bool {
	b, err := hex.DecodeString(word)
	return err == nil && len(b) > 0 && strings.ToLower(word) == word
}

// isSocketName tells whether a value is the name of a Unix socket.
func isSocketName(value string) bool {
	path, ok := strings.CutPrefix(value, "path:")
	return ok && path != "" || strings.HasPrefix(value, "abstract:")
}

func isInet(value string) bool {
	port, ok := strings.CutPrefix(value, "inet:")
	return ok && isNumber(port, 0, math.MaxUint16)
}

// isFcntlSet tells whether a value is what fcntl sets: fl:append,nonblock, fd:cloexec or
// pipe_sz:4096.
func isFcntlSet(value string) bool {
	what, value, _ := strings.Cut(value, ":")
	switch what {
	case "fl":
		return words("fcntl flags")(value)
	case "fd":
		return value == "cloexec" || value == "-"
	}
	return what == "pipe_sz" && isNumber(value, 0, math.MaxInt32)
}
