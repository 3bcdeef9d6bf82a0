package kernel

import (
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// The maximum lengths of control buffers.
const (
	maxControl = 64 << 20 // to send: much longer than any kernel accepts
	maxRoom    = 1 << 20  // to receive into
)

const (
	credsSize  = 12                  // struct ucred
	wordSize   = strconv.IntSize / 8 // control messages are padded to a multiple of it
	headerSize = wordSize + 8        // struct cmsghdr
)

// cmsgSpace returns CMSG_SPACE(n).
func cmsgSpace(n int) int { return headerSize + (n+wordSize-1)/wordSize*wordSize }

// Size parses a number of bytes, such as 24, len(2), space(2)-1 or space(1)+creds. In such an
// expression, len(N) and space(N) are CMSG_LEN and CMSG_SPACE for N descriptors, and creds is
// CMSG_SPACE for credentials.
func Size(text string) (total int, ok bool) {
	for term := range strings.SplitSeq(strings.ReplaceAll(text, "-", "+-"), "+") {
		term, minus := strings.CutPrefix(term, "-")
		n, ok := termSize(term)
		if !ok {
			return 0, false
		}
		if minus {
			n = -n
		}
		total += n
	}
	return total, true
}

var termForm = regexp.MustCompile(`^(len|space)\(([0-9]{1,7})\)$`)

func termSize(term string) (int, bool) {
	if term == "creds" {
		return cmsgSpace(credsSize), true
	}
	m := termForm.FindStringSubmatch(term)
	if m == nil {
		n, err := strconv.ParseInt(term, 0, 64)
		return int(n), err == nil
	}
	n, err := strconv.Atoi(m[2])
	if m[1] == "len" {
		return headerSize + 4*n, err == nil
	}
	return cmsgSpace(4 * n), err == nil
}

// parseControlRoom parses the length of a control buffer to receive into.
func parseControlRoom(text string) (int, bool) {
	n, ok := Size(text)
	return n, ok && n >= 0 && n <= maxRoom
}

// An Edge is the size of a control buffer that is followed by inaccessible memory. A scenario
// writes it as edge(SIZE).
type Edge int

func parseEdge(text string) (Edge, bool) {
	inner, ok := strings.CutPrefix(text, "edge(")
	inner, closed := strings.CutSuffix(inner, ")")
	n, fits := parseControlRoom(inner)
	return Edge(n), ok && closed && fits
}

// A Cmsg is an item in the value of control= or fill=. It is written as rights(3,4), creds(1,0,0),
// creds(), pidfd(3), hex(00ff) or cmsg(LEVEL,TYPE,HEX). A prefix N* repeats it, and the suffixes
// :len=, :level=, :type= and :more= change it.
type Cmsg struct {
	Count       int    // how many times it is sent
	Kind        string // rights, creds, pidfd, cmsg, or hex for bytes without a header
	Own         bool   // for creds(): the sender's own credentials come before Data
	Data        []byte
	Level, Type *int32  // nil for those of the Kind
	Len         *uint64 // cmsg_len, or nil for the length of the data
}

// size returns the length in bytes of all Count copies.
func (c Cmsg) size() int64 {
	one := cmsgSpace(len(c.Data))
	if c.Kind == "hex" {
		one = len(c.Data)
	} else if c.Own {
		one = cmsgSpace(credsSize + len(c.Data))
	}
	return int64(c.Count) * int64(one)
}

var (
	itemForm = regexp.MustCompile(`(?:[^,()]|\([^()]*\))+`)
	cmsgForm = regexp.MustCompile(`^(?:([0-9]{1,7})\*)?([a-z]+)\(([^()]*)\)((?::[a-z]+=[^:]*)*)$`)
)

// parseControl parses a list of control messages to send, in which the names of descriptors have already been replaced
// with descriptors. It replaces A and B in credentials with 0. It rejects a list whose buffer would be longer than
// maxControl. The text of such a list can be short, because a count can repeat an item.
func parseControl(text string) ([]Cmsg, bool) {
	var list []Cmsg
	var total int64
	items := itemForm.FindAllString(text, -1)
	for _, item := range items {
		c, ok := parseCmsg(item)
		if total += c.size(); !ok || total > maxControl {
			return nil, false
		}
		list = append(list, c)
	}
	return list, text != "" && strings.Join(items, ",") == text
}

func parseCmsg(item string) (c Cmsg, ok bool) {
	m := cmsgForm.FindStringSubmatch(item)
	if m == nil {
		return c, false
	}
	c = Cmsg{Count: 1, Kind: m[2]}
	if m[1] != "" {
		c.Count, _ = strconv.Atoi(m[1])
	}
	inner, changes := m[3], m[4]
	switch c.Kind {
	case "rights", "pidfd":
		ok = c.addIntegers(inner)
	case "creds":
		if inner == "A" || inner == "B" {
			inner = "0,0,0"
		} else if strings.HasPrefix(inner, "A,") || strings.HasPrefix(inner, "B,") {
			inner = "0" + inner[1:]
		}
		c.Own = inner == ""
		ok = c.addIntegers(inner)
	case "hex":
		ok = changes == "" && (inner == "" || c.addBytes(inner))
	case "cmsg":
		list := strings.Split(inner, ",")
		ok = len(list) == 3 && setInt32(&c.Level, list[0]) && setInt32(&c.Type, list[1]) &&
			(list[2] == "-" || c.addBytes(list[2]))
	}
	for _, change := range strings.Split(changes, ":")[1:] {
		key, value, _ := strings.Cut(change, "=")
		ok = ok && c.change(key, value)
	}
	return c, ok
}

// change applies one of the changes after an item: :len=15:level=99:more=00ff.
func (c *Cmsg) change(key, value string) bool {
	switch key {
	case "len":
		n, err := strconv.ParseUint(value, 0, 64)
		if size, ok := Size(value); err != nil && ok {
			n, err = uint64(size), nil
		}
		c.Len = &n
		return err == nil
	case "level":
		return setInt32(&c.Level, value)
	case "type":
		return setInt32(&c.Type, value)
	}
	return key == "more" && c.addBytes(value)
}

func (c *Cmsg) addBytes(text string) bool {
	data, ok := contract.ParseHex(text)
	c.Data = append(c.Data, data...)
	return ok
}

func (c *Cmsg) addIntegers(text string) bool {
	for w := range strings.SplitSeq(text, ",") {
		n, ok := parseArgument(w)
		if !ok {
			return text == ""
		}
		c.Data = binary.NativeEndian.AppendUint32(c.Data, uint32(n))
	}
	return true
}

func setInt32(to **int32, text string) bool {
	n, err := strconv.ParseInt(text, 0, 32)
	value := int32(n)
	*to = &value
	return err == nil
}
