//go:build ignore

// A peer for scm interop: it reads commands on standard input and answers on standard output. Call your
// library in librarySend and libraryRecv.
//
//	go build -o peer peer.go
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var errUnsupported = errors.New("unsupported")

// librarySend sends the payload and the descriptors, and returns the count that the library reports.
func librarySend(sock int, payload []byte, fds []int) (n int, err error) {
	return 0, errUnsupported
}

// libraryRecv receives into payload, and at most room descriptors.
func libraryRecv(sock int, payload []byte, room int) (n int, fds []int, err error) {
	return 0, nil, errUnsupported
}

// held are the socket of the case, its files, and what was received.
var held []int

func closeAll(fds []int) error {
	for _, fd := range fds {
		if !slices.Contains(held, fd) {
			return errUnsupported
		}
	}
	for _, fd := range slices.Clone(fds) {
		held = slices.DeleteFunc(held, func(n int) bool { return n == fd })
		syscall.Close(fd)
	}
	return nil
}

var number = regexp.MustCompile(`^-?(0|[1-9]\d{0,8})$`)

// numbers reads N,N,… or -.
func numbers(text string) (list []int, err error) {
	if text == "-" {
		return nil, nil
	}
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || !number.MatchString(word) {
			return nil, errUnsupported
		}
		list = append(list, n)
	}
	return list, nil
}

// pattern are the bytes that @N stands for.
func pattern(length, at int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte((at + i) % 251)
	}
	return b
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

func send(payload, fds string, at int) (string, error) {
	data, err := hex.DecodeString(strings.TrimPrefix(payload, "-"))
	if length, ok := strings.CutPrefix(payload, "@"); ok {
		var n []int
		if n, err = numbers(length); err == nil {
			data = pattern(n[0], at)
		}
	}
	list, wrong := numbers(fds)
	if err != nil || wrong != nil {
		return "", errUnsupported
	}
	n, err := librarySend(held[0], data, list)
	return fmt.Sprintf("ok n=%d", n), err
}

func recv(most, room string, at int) (string, error) {
	list, err := numbers(most + "," + room)
	if err != nil || list[0] < 0 || list[1] < 0 {
		return "", errUnsupported
	}
	payload := make([]byte, list[0])
	n, fds, err := libraryRecv(held[0], payload, list[1])
	if err != nil {
		return "", err
	}
	held = append(held, fds...)
	listed := "-"
	if len(fds) > 0 {
		listed = strings.ReplaceAll(strings.Trim(fmt.Sprint(fds), "[]"), " ", ",")
	}
	return fmt.Sprintf("ok n=%d payload=%s fds=%s", n, shown(payload[:n], at), listed), nil
}

var atField = regexp.MustCompile(` at=(\d{1,9})\b`)

// cutAt takes the field at=K off a command.
func cutAt(line string) (rest string, at int) {
	if m := atField.FindStringSubmatch(line); m != nil {
		at, _ = strconv.Atoi(m[1])
	}
	return atField.ReplaceAllString(line, ""), at
}

func answer(line string) (string, error) {
	line, at := cutAt(line)
	words := strings.Split(line, " ")
	fields := map[string]string{}
	for i, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		fields[name], words[i+1] = value, name
	}
	slices.Sort(words[1:])
	list, err := numbers(fields["fds"])
	switch strings.Join(words, " ") {
	case "hello":
		return "ok name=mine lang=go version=0 can=stream,dgram,seqpacket,multi", nil
	case "send fds payload":
		return send(fields["payload"], fields["fds"], at)
	case "recv bytes fds":
		return recv(fields["bytes"], fields["fds"], at)
	case "close fds":
		if err == nil {
			err = closeAll(list)
		}
		return "ok", err
	case "use fds sock":
		sock, wrong := strconv.Atoi(fields["sock"])
		if err != nil || wrong != nil {
			return "", errUnsupported
		}
		err = closeAll(held)
		held = append([]int{sock}, list...)
		return "ok", err
	case "end":
		return "ok", closeAll(held)
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
		case err == errUnsupported:
			said = "unsupported"
		case errors.As(err, &errno):
			said = fmt.Sprintf("err %d", int(errno))
		case err != nil:
			said = "err lib " + err.Error()
		}
		fmt.Println(said)
	}
}
