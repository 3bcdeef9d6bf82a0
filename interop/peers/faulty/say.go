//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sayFaults are the faults of a program that answers: what it says of a receive, or does
// when it has received.
var sayFaults = map[string]fault{
	"die": {what: "exits in the middle of an answer", say: func(answer []byte) []byte {
		_, _ = os.Stdout.Write(answer[:len(answer)/2])
		fmt.Fprintln(os.Stderr, "faulty: the disk is full of eels")
		os.Exit(3)
		return nil
	}},
	"flood": {what: "answers a hundred thousand times", say: func(answer []byte) []byte {
		return bytes.Repeat(answer, 100_000)
	}},
	"full-input": {what: "makes its input small, fills it, and reads no more", say: func(answer []byte) []byte {
		input, err := os.OpenFile("/proc/self/fd/0", os.O_WRONLY|unix.O_NONBLOCK, 0)
		must(err)
		_, err = unix.FcntlInt(0, unix.F_SETPIPE_SZ, 4096)
		must(err)
		_, err = unix.Write(int(input.Fd()), make([]byte, 4096))
		must(err)
		_, _ = os.Stdout.Write(answer)
		time.Sleep(forever)
		return nil
	}},
	"setpgid": {what: "leaves for the runner's process group, and never answers", say: func([]byte) []byte {
		group, err := unix.Getpgid(os.Getppid())
		must(err)
		must(unix.Setpgid(0, group))
		time.Sleep(forever)
		return nil
	}},
	"garbage": {what: "answers with noise", say: func([]byte) []byte {
		return []byte("\x7fELF\x00\xff\xfe\x1b[2J ok \x00\n")
	}},
	"hang": {what: "never answers", say: func([]byte) []byte {
		time.Sleep(forever)
		return nil
	}},
	"late": {what: "answers two seconds late", say: func(answer []byte) []byte {
		time.Sleep(2 * time.Second)
		return answer
	}},
	"stderr": {what: "answers on standard error", say: func(answer []byte) []byte {
		_, _ = os.Stderr.Write(answer)
		return nil
	}},
	"turn": {what: "answers with what it said before", say: func(answer []byte) []byte {
		answer, before = before, answer
		return answer
	}},
	"twice": {what: "answers twice", say: func(answer []byte) []byte { return bytes.Repeat(answer, 2) }},
}

// must ends a peer that cannot have its fault.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "faulty:", err)
		os.Exit(1)
	}
}

// before is what turn has not said yet.
var before = []byte("ok\n")

// answers spoils the answers to receives that went well. Serve makes one Write an answer.
type answers struct {
	io.Writer
	fault fault
}

func (a answers) Write(answer []byte) (int, error) {
	said := answer
	if a.fault.say != nil && bytes.Contains(answer, []byte(" payload=")) {
		said = a.fault.say(bytes.Clone(answer))
	}
	_, err := a.Writer.Write(said)
	return len(answer), err
}
