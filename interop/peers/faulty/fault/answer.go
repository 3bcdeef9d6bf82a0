//go:build linux

package fault

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// answerFaults are the faults in which a peer answers the runner incorrectly. They affect only the answers
// to successful receives.
var answerFaults = map[string]Fault{
	"die": {
		What:     "exits in the middle of an answer",
		Checks:   []scenario.Check{scenario.CheckCrash},
		Text:     "exit status 3; standard error: faulty: the disk is full of eels",
		EndsPair: true,
		say: func(answer []byte) []byte {
			_, _ = os.Stdout.Write(answer[:len(answer)/2])
			fmt.Fprintln(os.Stderr, "faulty: the disk is full of eels")
			os.Exit(3)
			return nil
		},
	},
	"flood": {
		What:     "repeats an answer a hundred thousand times",
		Checks:   []scenario.Check{scenario.CheckContract},
		EndsPair: true,
		say: func(answer []byte) []byte {
			return bytes.Repeat(answer, 100_000)
		},
	},
	"full-input": {
		What:     "shrinks its input pipe, fills it, and reads no more",
		Checks:   []scenario.Check{scenario.CheckHang},
		Text:     "no answer in time",
		EndsPair: true,
		Slow:     true,
		say: func(answer []byte) []byte {
			input, err := os.OpenFile("/proc/self/fd/0", os.O_WRONLY|unix.O_NONBLOCK, 0)
			must(err)
			_, err = unix.FcntlInt(0, unix.F_SETPIPE_SZ, 4096)
			must(err)
			_, err = unix.Write(int(input.Fd()), make([]byte, 4096))
			must(err)
			_, _ = os.Stdout.Write(answer)
			time.Sleep(Forever)
			return nil
		},
	},
	"setpgid": {
		What:     "joins the runner's process group, and never answers",
		Checks:   []scenario.Check{scenario.CheckHang},
		Text:     "no answer in time",
		EndsPair: true,
		Slow:     true,
		say: func([]byte) []byte {
			group, err := unix.Getpgid(os.Getppid())
			must(err)
			must(unix.Setpgid(0, group))
			time.Sleep(Forever)
			return nil
		},
	},
	"hang": {
		What:     "never answers",
		Checks:   []scenario.Check{scenario.CheckHang},
		Text:     "no answer in time",
		EndsPair: true,
		Slow:     true,
		say: func([]byte) []byte {
			time.Sleep(Forever)
			return nil
		},
	},
}

// must ends a peer in which the fault is not possible.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "faulty:", err)
		os.Exit(1)
	}
}

// answers is a writer that applies a fault to the answers to successful receives. It relies on Serve
// to make one Write per answer.
type answers struct {
	io.Writer
	fault Fault
}

func (a answers) Write(answer []byte) (int, error) {
	said := answer
	if a.fault.say != nil && bytes.Contains(answer, []byte(" payload=")) {
		said = a.fault.say(bytes.Clone(answer))
	}
	_, err := a.Writer.Write(said)
	return len(answer), err
}
