package contract

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// mostControl is how long a control buffer to send may be, much longer than any kernel
// takes, and mostRoom how long one to receive into.
const (
	mostControl = 64 << 20
	mostRoom    = 1 << 20
)

// The sizes of struct cmsghdr, of what it is padded to, and of struct ucred.
const (
	credsSize  = 12
	wordSize   = strconv.IntSize / 8
	headerSize = wordSize + 8
)

// cmsgSpace is CMSG_SPACE of so many bytes.
func cmsgSpace(n int) int { return headerSize + (n+wordSize-1)/wordSize*wordSize }

// Size reads a number of bytes: 24, len(2), space(2)-1, space(1)+creds.
// len(N) and space(N) are CMSG_LEN and CMSG_SPACE of N descriptors, creds the
// CMSG_SPACE of credentials.
func Size(text string) (int, error) {
	total, sign := 0, 1
	for text != "" {
		end := strings.IndexAny(text, "+-")
		if end < 0 {
			end = len(text)
		}
		n, err := term(text[:end])
		if err != nil {
			return 0, err
		}
		total += sign * n
		if end == len(text) {
			return total, nil
		}
		sign = 1
		if text[end] == '-' {
			sign = -1
		}
		text = text[end+1:]
	}
	return 0, errors.New("not a size")
}

func term(text string) (int, error) {
	for name, size := range map[string]func(int) int{"len": func(n int) int { return headerSize + n }, "space": cmsgSpace} {
		if count, ok := strings.CutPrefix(text, name+"("); ok {
			count, closed := strings.CutSuffix(count, ")")
			if !closed || !isNumber(count, 0, mostRoom) {
				return 0, fmt.Errorf("not %s(N)", name)
			}
			n, err := strconv.Atoi(count)
			return size(4 * n), err
		}
	}
	if text == "creds" {
		return cmsgSpace(credsSize), nil
	}
	n, err := strconv.ParseInt(text, 0, 64)
	return int(n), err
}

// isLength tells whether a value is a size that there can be.
func isLength(value string) bool {
	n, err := Size(value)
	return err == nil && n >= 0
}

func isSize(value string) bool {
	_, err := Size(value)
	return err == nil
}

func isControlRoom(value string) bool {
	n, err := Size(value)
	return err == nil && n >= 0 && n <= mostRoom
}

// isEdge tells whether a value is edge(SIZE).
func isEdge(value string) bool {
	_, ok := Edge(value)
	return ok
}

// Edge reads edge(SIZE): a control buffer of which what is behind so many bytes faults.
func Edge(value string) (int, bool) {
	inner, edge := strings.CutPrefix(value, "edge(")
	inner, closed := strings.CutSuffix(inner, ")")
	n, _ := Size(inner)
	return n, edge && closed && isControlRoom(inner)
}

// A Cmsg is an item of control= or fill=: rights(3,4), creds(1,0,0), creds(), pidfd(3),
// hex(00ff), cmsg(LEVEL,TYPE,HEX) and their :len=, :level=, :type=, :more=; and N*ITEM.
type Cmsg struct {
	Count       int      // how many there are of it
	Kind        string   // rights, creds, pidfd, cmsg, or hex for bytes without a header
	Numbers     []uint32 // the data of the first three; none of creds stands for the sender's own
	Data        []byte   // of the others, or what more= puts behind the numbers
	Level, Type *int32   // if they are told
	Len         *uint64  // cmsg_len, if it is not what the data makes it
}

// size is how many bytes all of them are long, and itemSize one of them.
func (c Cmsg) size() int { return c.Count * c.itemSize() }

func (c Cmsg) itemSize() int {
	n := 4*len(c.Numbers) + len(c.Data)
	if c.Kind == "creds" && c.Numbers == nil {
		n += credsSize
	}
	if c.Kind != "hex" {
		n = cmsgSpace(n)
	}
	return n
}

// ParseControl reads a list of control messages to send. Descriptors are numbers. A and B
// in credentials are 0.
func ParseControl(text string) (list []Cmsg, err error) {
	total := 0
	for _, item := range items(text) {
		c, err := parseCmsg(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Brief(item), err)
		}
		if total += c.size(); total > mostControl {
			return nil, fmt.Errorf("more than %d bytes", mostControl)
		}
		list = append(list, c)
	}
	return list, nil
}

func isControl(value string) bool {
	_, err := ParseControl(value)
	return err == nil
}

// controlSize is how many bytes the control messages of a send are long: none, if it is a
// pointer, or nothing is told.
func controlSize(text string) (total int) {
	list, _ := ParseControl(text)
	for _, c := range list {
		total += c.size()
	}
	return total
}

// isReceivedControl tells whether a value is what a receive may report of its control
// messages.
func isReceivedControl(value string) bool {
	return value == "-" || !slices.ContainsFunc(items(value), func(item string) bool { return !isReceivedItem(item) })
}

func isReceivedItem(item string) bool {
	kind, inner, brackets := strings.Cut(item, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !brackets || !closed {
		count, rights := strings.CutPrefix(item, "rights*")
		left, creds := strings.CutPrefix(item, "creds:")
		return rights && isNumber(count, 0, mostRoom) || creds && isNumber(left, 0, credsSize-1) ||
			slices.Contains([]string{"pidfd", "timestamp", "security"}, item)
	}
	switch list := strings.Split(inner, ","); kind {
	case "creds":
		return isReceivedCreds(item)
	case "pidfd":
		return isNumber(inner, math.MinInt32, -1)
	case "inq":
		return isNumber(inner, math.MinInt32, math.MaxInt32)
	case "cmsg":
		return len(list) == 3 && isNumber(list[0], math.MinInt32, math.MaxInt32) && isNumber(list[1], math.MinInt32, math.MaxInt32) &&
			(list[2] == "-" || isHex(list[2]))
	}
	return false
}

// isReceivedCreds tells whether a value is creds(A), creds(A,0,0) or creds(1,0,0).
func isReceivedCreds(value string) bool {
	inner, brackets := strings.CutPrefix(value, "creds(")
	inner, closed := strings.CutSuffix(inner, ")")
	list := strings.Split(inner, ",")
	if list[0] == "A" || list[0] == "B" {
		list[0] = "0"
	}
	whole := len(list) == 3 || inner == "A" || inner == "B"
	return brackets && closed && whole && !slices.ContainsFunc(list, func(n string) bool { return !isNumber(n, math.MinInt32, math.MaxInt32) })
}

// items splits a list at its commas, but for those in brackets.
func items(text string) (list []string) {
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				list = append(list, text[from:i])
				from = i + 1
			}
		}
	}
	return append(list, text[from:])
}

func parseCmsg(item string) (c Cmsg, err error) {
	c.Count = 1
	if count, rest, ok := strings.Cut(item, "*"); ok {
		if !isNumber(count, 0, mostControl) {
			return c, errors.New("not N*KIND(...)")
		}
		c.Count, _ = strconv.Atoi(count)
		item = rest
	}
	kind, rest, _ := strings.Cut(item, "(")
	inner, changes, ok := strings.Cut(rest, ")")
	if !ok || changes != "" && changes[0] != ':' {
		return c, errors.New("not KIND(...)")
	}
	c.Kind = kind
	var list []string
	if inner != "" {
		list = strings.Split(inner, ",")
	}
	switch kind {
	case "rights", "pidfd":
		c.Numbers, err = cmsgNumbers(list)
	case "creds":
		if inner == "A" || inner == "B" {
			list = []string{"0", "0", "0"}
		} else if len(list) > 0 && (list[0] == "A" || list[0] == "B") {
			list[0] = "0"
		}
		c.Numbers, err = cmsgNumbers(list)
	case "hex":
		if inner != "" {
			c.Data, err = cmsgBytes(inner)
		}
		if changes != "" {
			return c, errors.New("bytes have no header")
		}
	case "cmsg":
		if len(list) != 3 {
			return c, errors.New("cmsg(LEVEL,TYPE,HEX)")
		}
		c.Level, err = int32Of(list[0])
		if err == nil {
			c.Type, err = int32Of(list[1])
		}
		if err == nil && list[2] != "-" {
			c.Data, err = cmsgBytes(list[2])
		}
	default:
		err = errors.New("no such control message")
	}
	if err != nil {
		return c, err
	}
	if err := c.change(changes); err != nil {
		return c, err
	}
	if c.itemSize() > mostControl/max(1, c.Count) {
		return c, fmt.Errorf("more than %d bytes", mostControl)
	}
	return c, nil
}

// change does what stands behind an item: :len=15:level=99:more=00ff.
func (c *Cmsg) change(changes string) (err error) {
	for _, word := range strings.Split(changes, ":")[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "len":
			n, err := strconv.ParseUint(value, 0, 64)
			if err != nil {
				size, err := Size(value)
				if err != nil {
					return err
				}
				n = uint64(size)
			}
			c.Len = &n
		case "level":
			c.Level, err = int32Of(value)
		case "type":
			c.Type, err = int32Of(value)
		case "more":
			var more []byte
			more, err = cmsgBytes(value)
			c.Data = append(c.Data, more...)
		default:
			err = fmt.Errorf("no such change: %s", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func cmsgNumbers(list []string) (numbers []uint32, err error) {
	for _, word := range list {
		if !isInt(word) {
			return nil, fmt.Errorf("%s is no number from %d to %d", word, math.MinInt32, uint32(math.MaxUint32))
		}
		n, _ := strconv.ParseInt(word, 0, 64)
		numbers = append(numbers, uint32(n))
	}
	return numbers, nil
}

func cmsgBytes(word string) ([]byte, error) {
	if !isHex(word) {
		return nil, fmt.Errorf("%s is not bytes", word)
	}
	return hex.DecodeString(word)
}

func int32Of(word string) (*int32, error) {
	n, err := strconv.ParseInt(word, 0, 32)
	return new(int32(n)), err
}
