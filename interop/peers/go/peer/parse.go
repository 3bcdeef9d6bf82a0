//go:build linux

package peer

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxLine    = 16 << 10 // the contract's longest line
	maxPayload = 64 << 20 // no scenario needs more, and a wrong digit must not end the process
	period     = 251      // of the pattern
)

// The commands, as parse returns them.
type (
	hello struct{}
	use   struct {
		sock int
		fds  []int
	}
	send Message
	recv struct {
		Room
		at int
	}
	closeFDs struct{ fds []int }
	end      struct{}
)

var errSyntax = errors.New("peer: no such command")

var sendFlags = map[string]int{
	"dontwait": unix.MSG_DONTWAIT,
	"nosignal": unix.MSG_NOSIGNAL,
	"eor":      unix.MSG_EOR,
	"oob":      unix.MSG_OOB,
	"more":     unix.MSG_MORE,
}

var recvFlags = map[string]int{
	"dontwait": unix.MSG_DONTWAIT,
	"peek":     unix.MSG_PEEK,
	"trunc":    unix.MSG_TRUNC,
	"waitall":  unix.MSG_WAITALL,
	"oob":      unix.MSG_OOB,
}

// parse returns a line, without its newline, as one of the commands.
func parse(line string) (any, error) {
	words := strings.Split(line, " ")
	f := fields{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if _, twice := f[key]; !ok || twice {
			return nil, errSyntax
		}
		f[key] = value
	}
	var c any
	var err error
	switch words[0] {
	case "hello":
		c = hello{}
	case "use":
		c, err = f.use()
	case "send":
		c, err = f.send()
	case "recv":
		c, err = f.recv()
	case "close":
		c, err = f.close()
	case "end":
		c = end{}
	default:
		err = errSyntax
	}
	if err == nil && len(f) > 0 {
		err = errSyntax
	}
	return c, err
}

// fields are a command's. Each method takes out those it knows, so that what
// is left is unknown.
type fields map[string]string

func (f fields) take(key, absent string) string {
	value, ok := f[key]
	if !ok {
		return absent
	}
	delete(f, key)
	return value
}

func (f fields) use() (any, error) {
	sock, err1 := number(f.take("sock", ""), 0, math.MaxInt32)
	fds, err2 := numbers(f.take("fds", "-"), 0, math.MaxInt32)
	return use{sock, fds}, errors.Join(err1, err2)
}

func (f fields) send() (any, error) {
	at, err1 := number(f.take("at", "0"), 0, math.MaxInt)
	buffers, err2 := payload(f.take("payload", ""), at)
	fds, err3 := numbers(f.take("fds", ""), math.MinInt32, math.MaxInt32)
	flags, err4 := flagBits(f.take("flags", "-"), sendFlags)
	return send{buffers, fds, flags}, errors.Join(err1, err2, err3, err4)
}

func (f fields) recv() (any, error) {
	at, err1 := number(f.take("at", "0"), 0, math.MaxInt)
	buffers, err2 := room(f.take("bytes", ""))
	fds, err3 := number(f.take("fds", ""), 0, math.MaxUint16)
	flags, err4 := flagBits(f.take("flags", "-"), recvFlags)
	return recv{Room{buffers, fds, flags}, at}, errors.Join(err1, err2, err3, err4)
}

func (f fields) close() (any, error) {
	fds, err := numbers(f.take("fds", ""), 0, math.MaxInt32)
	return closeFDs{fds}, err
}

// number accepts a number written in the one way that strconv.Itoa writes it.
func number(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most || strconv.Itoa(n) != s {
		return 0, errSyntax
	}
	return n, nil
}

func numbers(s string, least, most int) ([]int, error) {
	if s == "-" {
		return nil, nil
	}
	var list []int
	for w := range strings.SplitSeq(s, ",") {
		n, err := number(w, least, most)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// payload returns the buffers of a send. The pattern runs on from one buffer
// to the next, as the receiver will see it.
func payload(s string, at int) ([][]byte, error) {
	var buffers [][]byte
	total := 0
	for w := range strings.SplitSeq(s, ",") {
		b, err := buffer(w, at, total)
		if err != nil || total+len(b) > maxPayload {
			return nil, errSyntax
		}
		buffers = append(buffers, b)
		total += len(b)
	}
	return buffers, nil
}

// buffer returns one buffer of a payload of which so many bytes precede it.
func buffer(s string, at, before int) ([]byte, error) {
	if s == "-" {
		return []byte{}, nil
	}
	if count, ok := strings.CutPrefix(s, "@"); ok {
		n, err := number(count, 1, maxPayload)
		if err != nil {
			return nil, err
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = pattern(at, before+i)
		}
		return b, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || s == "" || s != strings.ToLower(s) {
		return nil, errSyntax
	}
	return b, nil
}

// pattern is byte i of a payload that begins at byte at.
func pattern(at, i int) byte {
	return byte((at%period + i) % period)
}

func room(s string) ([][]byte, error) {
	sizes, err := numbers(s, 0, maxPayload)
	if err != nil || len(sizes) == 0 {
		return nil, errSyntax
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total > maxPayload {
		return nil, errSyntax
	}
	buffers := make([][]byte, len(sizes))
	for i, n := range sizes {
		buffers[i] = make([]byte, n)
	}
	return buffers, nil
}

func flagBits(s string, known map[string]int) (int, error) {
	if s == "-" {
		return 0, nil
	}
	bits := 0
	for w := range strings.SplitSeq(s, ",") {
		bit, ok := known[w]
		if !ok {
			return 0, errSyntax
		}
		bits |= bit
	}
	return bits, nil
}
