//go:build ignore

// This program is a peer for scm interop. It reads commands from standard input and writes
// answers to standard output. Call your library in librarySend and libraryRecv. Return
// errUnsupported if the library cannot carry out the command. The peer reports any other error
// in its answer.
//
//	go build -o peer peer.go
//	./peer
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var errUnsupported = errors.New("unsupported")

// librarySend sends the payload and the descriptors, and returns the count that the library reports.
// The socket and the descriptors are borrowed, here and in libraryRecv. If the library requires an
// os.File, make it from a duplicate, because the garbage collector closes an unused os.File.
func librarySend(sock int, payload []byte, fds []int) (n int, err error) {
	return 0, errUnsupported
}

// libraryRecv receives into payload, and at most room descriptors. It returns the count, the descriptors
// and the msg_flags that the library reports. If the library does not report flags, flags is noFlags.
func libraryRecv(sock int, payload []byte, room int) (n int, fds []int, flags int, err error) {
	return 0, nil, noFlags, errUnsupported
}

const (
	noFlags    = -1
	maxPayload = 64 << 20
)

// caseSock is the socket of the case. held contains the socket, the files of the case and the
// received descriptors.
var (
	caseSock = -1
	held     = map[int]bool{}
)

func closeAll(fds []int) error {
	for _, fd := range fds {
		if !held[fd] {
			return errUnsupported
		}
	}
	for _, fd := range fds {
		if held[fd] { // it may be in the list twice
			syscall.Close(fd)
			delete(held, fd)
		}
	}
	return nil
}

func endCase() {
	for fd := range held {
		syscall.Close(fd)
	}
	clear(held)
}

// integer accepts an integer only as it would be printed.
func integer(text string, least, most int) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || strconv.FormatInt(n, 10) != text || int(n) < least || int(n) > most {
		return 0, errUnsupported
	}
	return int(n), nil
}

// integers reads N,N,… or -.
func integers(text string, least int) (list []int, err error) {
	if text == "-" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		n, err := integer(word, least, 1<<31-1)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// pattern returns the bytes of the payload @N.
func pattern(length, at int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte((at%251 + i) % 251)
	}
	return b
}

func payloadOf(text string, at int) ([]byte, error) {
	if text == "-" {
		return nil, nil
	}
	if length, ok := strings.CutPrefix(text, "@"); ok {
		n, err := integer(length, 1, maxPayload)
		if err != nil {
			return nil, err
		}
		return pattern(n, at), nil
	}
	data, err := hex.DecodeString(text)
	if err != nil || len(data) == 0 || hex.EncodeToString(data) != text {
		return nil, errUnsupported
	}
	return data, nil
}

func shown(payload []byte, at int) string {
	if len(payload) == 0 {
		return "-"
	}
	if len(payload) <= 4096 {
		return hex.EncodeToString(payload)
	}
	for i, want := range pattern(len(payload), at) {
		if payload[i] != want {
			return fmt.Sprintf("!%d", i)
		}
	}
	return fmt.Sprintf("@%d", len(payload))
}

func shownFlags(flags int) string {
	flags &^= syscall.MSG_CMSG_CLOEXEC // it is not reported
	var names []string
	for _, f := range []struct {
		name string
		bit  int
	}{{"oob", syscall.MSG_OOB}, {"ctrunc", syscall.MSG_CTRUNC}, {"trunc", syscall.MSG_TRUNC}, {"eor", syscall.MSG_EOR}} {
		if flags&f.bit != 0 {
			names = append(names, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("%#x", flags))
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

func send(fields map[string]string, at int) (string, error) {
	payload, err := payloadOf(fields["payload"], at)
	if err != nil {
		return "", err
	}
	fds, err := integers(fields["fds"], -1<<31)
	if err != nil || !held[caseSock] {
		return "", errUnsupported
	}
	n, err := librarySend(caseSock, payload, fds)
	return fmt.Sprintf("ok n=%d", n), err
}

func recv(fields map[string]string, at int) (string, error) {
	most, err := integer(fields["bytes"], 0, maxPayload)
	if err != nil {
		return "", err
	}
	room, err := integer(fields["fds"], 0, 65535)
	if err != nil || !held[caseSock] {
		return "", errUnsupported
	}
	payload := make([]byte, most)
	n, fds, flags, err := libraryRecv(caseSock, payload, room)
	if err != nil {
		return "", err
	}
	listed := "-"
	if len(fds) > 0 {
		listed = strings.ReplaceAll(strings.Trim(fmt.Sprint(fds), "[]"), " ", ",")
	}
	for _, fd := range fds {
		held[fd] = true
	}
	said := fmt.Sprintf("ok n=%d payload=%s fds=%s", n, shown(payload[:min(n, most)], at), listed)
	if flags != noFlags {
		said += " flags=" + shownFlags(flags)
	}
	return said, nil
}

func use(fields map[string]string) error {
	sock, err := integer(fields["sock"], 0, 1<<31-1)
	if err != nil {
		return err
	}
	var fds []int
	if list, ok := fields["fds"]; ok {
		if fds, err = integers(list, 0); err != nil {
			return err
		}
	}
	endCase()
	caseSock = sock
	for _, fd := range append(fds, sock) {
		held[fd] = true
	}
	return nil
}

func answer(line string) (string, error) {
	verb, rest, more := strings.Cut(line, " ")
	fields := map[string]string{}
	if more {
		for word := range strings.SplitSeq(rest, " ") {
			key, value, _ := strings.Cut(word, "=")
			if _, twice := fields[key]; twice {
				return "", errUnsupported
			}
			fields[key] = value
		}
	}
	keys := slices.Sorted(maps.Keys(fields))
	at := 0
	if text, ok := fields["at"]; ok {
		var err error
		if at, err = integer(text, 0, 1<<31-1); err != nil {
			return "", err
		}
	}
	switch strings.Join(append([]string{verb}, keys...), " ") {
	case "hello":
		// Use your library's name and version. Expected failures can depend on the version.
		return "ok name=mine lang=go version=0 can=stream,dgram,seqpacket,multi", nil
	case "send fds payload", "send at fds payload":
		return send(fields, at)
	case "recv bytes fds", "recv at bytes fds":
		return recv(fields, at)
	case "use sock", "use fds sock":
		return "ok", use(fields)
	case "close fds":
		fds, err := integers(fields["fds"], 0)
		if err != nil {
			return "", err
		}
		return "ok", closeAll(fds)
	case "end":
		endCase()
		return "ok", nil
	}
	return "", errUnsupported
}

func main() {
	signal.Ignore(syscall.SIGPIPE)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		said, err := answer(in.Text())
		var errno syscall.Errno
		switch {
		case errors.Is(err, errUnsupported):
			said = "unsupported"
		case errors.As(err, &errno) && errno != 0:
			said = fmt.Sprintf("err %d", int(errno))
		case err != nil:
			said = fmt.Sprintf("err lib %+q", err)
		}
		fmt.Println(said)
	}
}
