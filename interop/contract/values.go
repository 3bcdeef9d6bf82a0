package contract

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mostPayload is how long a payload may be, all buffers together, and the room of a receive.
const mostPayload = 64 << 20

// The flags of a message, by the verb of a peer, and all that a call takes.
var (
	peerFlags = map[string][]string{
		"send": {"dontwait", "nosignal", "eor", "oob", "more"},
		"recv": {"dontwait", "peek", "trunc", "waitall", "oob"},
	}
	callFlags = []string{"dontwait", "nosignal", "eor", "oob", "more", "peek", "trunc", "ctrunc", "waitall", "errqueue", "inherit"}
)

// Options and Signals are the names of socket options and signals that scenarios can use.
var (
	Options = []string{"acceptconn", "error", "inq", "oobinline", "passcred", "passpidfd", "passrights", "passsec", "peekoff", "rcvbuf",
		"rcvlowat", "rcvtimeo", "reuseaddr", "rightsnotrunc", "sndbuf", "sndtimeo", "timestamp", "type"}
	Signals = []string{"SIGALRM", "SIGCONT", "SIGKILL", "SIGSTOP", "SIGTERM", "SIGUSR1", "SIGUSR2"}
)

// The items of a control message to send, and the sizes of one.
var (
	cmsgForm   = regexp.MustCompile(`^([0-9]+\*)?(rights|pidfd|creds|hex|cmsg)\(([^()]*)\)(:.*)?$`)
	changeForm = regexp.MustCompile(`^(len|level|type|more)=(.+)$`)
	sizeForm   = regexp.MustCompile(`^-?` + sizeTerm + `([+-]` + sizeTerm + `)*$`)
)

const sizeTerm = `(0x[0-9a-f]+|[0-9]+|creds|(len|space)\([0-9]+\))`

// CheckValues returns an error if a field of a command holds what the one that is told it
// cannot read: a payload, a room, flags, control messages, or a socket option or signal. Names of descriptors may
// stand in the place of numbers.
func CheckValues(l Line) error {
	for key, value := range l.Fields {
		if !valid(l.Verb, key, value) {
			return fmt.Errorf("%s=%s cannot be read by who is told to %s", key, Brief(value), l.Verb)
		}
	}
	return nil
}

// CheckAnswerValues returns an error if a field of an expected ok is none that the answer
// to the verb can have, or "*".
func CheckAnswerValues(verb string, l Line) error {
	payload, ok := l.Fields["payload"]
	if ok && !each(payload, verb == "recvmmsg", isReceived) {
		return fmt.Errorf("payload=%s is in no answer to %s", Brief(payload), verb)
	}
	if n, ok := l.Fields["n"]; ok && n != "*" && !isNumber(n, math.MaxInt) {
		return fmt.Errorf("n=%s is in no answer to %s", Brief(n), verb)
	}
	return nil
}

func valid(verb, key, value string) bool {
	flags, peer := peerFlags[verb]
	message := strings.HasSuffix(verb, "msg")
	receives := strings.HasPrefix(verb, "recv")
	switch {
	case key == "payload" && !peer && (value == "none" || value == "bad"), key == "bytes" && !peer && value == "bad":
		return true
	case key == "payload":
		return each(value, verb == "sendmmsg", isPayload)
	case key == "bytes" && (verb == "splice" || verb == "sendfile"):
		return isInt(value)
	case key == "bytes":
		return each(value, verb == "recvmmsg", isRoom)
	case key == "fds" && verb == "recv":
		return isNumber(value, math.MaxUint16)
	case key == "at" && peer:
		return isNumber(value, math.MaxInt)
	case key == "at":
		return isInt(value)
	case key == "flags" && peer:
		return isFlags(value, flags)
	case key == "flags" && message:
		return isFlags(value, callFlags)
	case key == "control" && message:
		return each(value, strings.HasSuffix(verb, "mmsg"), func(part string) bool {
			if receives {
				inner, edge := strings.CutPrefix(part, "edge(")
				inner, closed := strings.CutSuffix(inner, ")")
				return part == "null" || part == "bad" || verb == "recvmmsg" && part == "-" || sizeForm.MatchString(part) || edge && closed && sizeForm.MatchString(inner)
			}
			return part == "-" || part == "null" || part == "bad" || isControl(part)
		})
	case verb == "setsockopt" && key != "sock":
		return slices.Contains(Options, key) && isInt(value)
	case key == "option":
		return slices.Contains(Options, value)
	case key == "signal":
		return slices.Contains(Signals, value)
	case key == "fill":
		return isControl(value)
	case key == "controllen":
		return sizeForm.MatchString(value)
	}
	return true
}

// each tells whether all parts of a value are valid: those between bars, where there may be
// several.
func each(value string, several bool, valid func(string) bool) bool {
	parts := []string{value}
	if several {
		parts = strings.Split(value, "|")
	}
	return !slices.ContainsFunc(parts, func(part string) bool { return !valid(part) })
}

// isPayload tells whether a value is a list of buffers: HEX, @N or -.
func isPayload(value string) bool {
	left := mostPayload
	for _, b := range strings.Split(value, ",") {
		count, pattern := strings.CutPrefix(b, "@")
		switch {
		case b == "-":
		case pattern && isNumber(count, mostPayload) && count != "0":
			n, _ := strconv.Atoi(count)
			left -= n
		case isHex(b):
			left -= len(b) / 2
		default:
			return false
		}
		if left < 0 {
			return false
		}
	}
	return true
}

// isRoom tells whether a value is a list of sizes of buffers.
func isRoom(value string) bool {
	left := mostPayload
	for _, b := range strings.Split(value, ",") {
		if !isNumber(b, left) {
			return false
		}
		n, _ := strconv.Atoi(b)
		left -= n
	}
	return true
}

// isReceived tells whether a value is what a receive may report of its payload.
func isReceived(value string) bool {
	at, differs := strings.CutPrefix(value, "!")
	return value == "*" || isPayload(value) && !strings.Contains(value, ",") || differs && isNumber(at, mostPayload)
}

// isControl tells whether a value is a list of control messages to send.
func isControl(value string) bool {
	depth, from := 0, 0
	for i := 0; i <= len(value); i++ {
		switch {
		case i == len(value) || value[i] == ',' && depth == 0:
			if !isCmsg(value[from:i]) {
				return false
			}
			from = i + 1
		case value[i] == '(':
			depth++
		case value[i] == ')':
			depth--
		}
	}
	return true
}

func isCmsg(item string) bool {
	m := cmsgForm.FindStringSubmatch(item)
	if m == nil {
		return false
	}
	kind, inner, changes := m[2], m[3], m[4]
	list := strings.Split(inner, ",")
	switch kind {
	case "hex":
		if !isHex(inner) && inner != "" {
			return false
		}
	case "cmsg":
		if len(list) != 3 || !isInt(list[0]) || !isInt(list[1]) || list[2] != "-" && !isHex(list[2]) {
			return false
		}
	case "creds":
		for i, word := range list {
			if inner != "" && !isInt(word) && !(i == 0 && (word == "A" || word == "B")) {
				return false
			}
		}
	default: // names, which are looked up, or numbers
		if inner != "" && slices.Contains(list, "") {
			return false
		}
	}
	for _, change := range strings.Split(changes, ":")[1:] {
		m := changeForm.FindStringSubmatch(change)
		switch {
		case m == nil,
			m[1] == "len" && !sizeForm.MatchString(m[2]),
			m[1] == "more" && !isHex(m[2]),
			(m[1] == "level" || m[1] == "type") && !isInt(m[2]):
			return false
		}
	}
	return true
}

func isFlags(value string, known []string) bool {
	return value == "-" || !slices.ContainsFunc(strings.Split(value, ","), func(flag string) bool { return !slices.Contains(known, flag) })
}

// isHex tells whether a word is bytes, and at least one.
func isHex(word string) bool {
	b, err := hex.DecodeString(word)
	return err == nil && len(b) > 0 && strings.ToLower(word) == word
}

// isNumber tells whether a word is a number from 0 to most, as it would be printed.
func isNumber(word string, most int) bool {
	n, err := strconv.Atoi(word)
	return err == nil && n >= 0 && n <= most && strconv.Itoa(n) == word
}

// isInt tells whether a word is a number that a call takes.
func isInt(word string) bool {
	_, err := strconv.ParseInt(word, 0, 64)
	return err == nil
}
