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
	"die": {what: "exits in the middle of an answer", say: func(out io.Writer, answer []byte) error {
		_, _ = out.Write(answer[:len(answer)/2])
		fmt.Fprintln(os.Stderr, "faulty: the disk is full of eels")
		os.Exit(3)
		return nil
	}},
	"flood": {what: "answers a hundred thousand times", say: func(out io.Writer, answer []byte) error {
		for range 100_000 {
			if _, err := out.Write(answer); err != nil {
				return err
			}
		}
		return nil
	}},
	"full-input": {what: "makes its input small, fills it, and reads no more", say: func(out io.Writer, answer []byte) error {
		input, err := os.OpenFile("/proc/self/fd/0", os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if _, err := unix.FcntlInt(0, unix.F_SETPIPE_SZ, 4096); err != nil {
			return err
		}
		if _, err := unix.Write(int(input.Fd()), make([]byte, 4096)); err != nil {
			return err
		}
		_, _ = out.Write(answer)
		time.Sleep(forever)
		return nil
	}},
	"setpgid": {what: "leaves for the runner's process group, and never answers", say: func(io.Writer, []byte) error {
		group, err := unix.Getpgid(os.Getppid())
		if err == nil {
			err = unix.Setpgid(0, group)
		}
		if err == nil {
			time.Sleep(forever)
		}
		return err
	}},
	"garbage": {what: "answers with noise", say: func(out io.Writer, _ []byte) error {
		_, err := out.Write([]byte("\x7fELF\x00\xff\xfe\x1b[2J ok \x00\n"))
		return err
	}},
	"hang": {what: "never answers", say: func(io.Writer, []byte) error {
		time.Sleep(forever)
		return nil
	}},
	"late": {what: "answers two seconds late", say: func(out io.Writer, answer []byte) error {
		time.Sleep(2 * time.Second)
		_, err := out.Write(answer)
		return err
	}},
	"stderr": {what: "answers on standard error", say: func(_ io.Writer, answer []byte) error {
		_, err := os.Stderr.Write(answer)
		return err
	}},
	"turn": {what: "answers with what it said before", say: func(out io.Writer, answer []byte) error {
		answer, before = before, answer
		_, err := out.Write(answer)
		return err
	}},
	"twice": {what: "answers twice", say: func(out io.Writer, answer []byte) error {
		_, err := out.Write(bytes.Repeat(answer, 2))
		return err
	}},
}

// before is what turn has not said yet.
var before = []byte("ok\n")

// answers spoils the answers to receives that went well. Serve makes one Write an answer.
type answers struct {
	io.Writer
	fault fault
}

func (a answers) Write(answer []byte) (int, error) {
	if a.fault.say != nil && bytes.Contains(answer, []byte(" payload=")) {
		return len(answer), a.fault.say(a.Writer, bytes.Clone(answer))
	}
	return a.Writer.Write(answer)
}
