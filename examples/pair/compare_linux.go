package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"github.com/scm-rights/scm/internal/recorder"
)

// ready must be called first in main, because the recorder starts this program again.
func ready() { recorder.Main() }

// compare compares the system calls of a pair in Go with cgo with those of one in pure Go. If the recorder cannot run
// here, it prints why.
func compare(pair func(parent, child string) *exec.Cmd) error {
	var calls [2][]recorder.Call
	for i, language := range []string{cgo, pureGo} {
		var err error
		var failed *recorder.ExitError
		calls[i], err = recorder.Record(pair(language, language), recorder.Options{})
		if errors.As(err, &failed) {
			return fmt.Errorf("%s, recorded: %w", language, err)
		} else if err != nil {
			fmt.Println("cgo and pure Go: not compared:", err)
			return mayLeaveOut()
		}
	}
	unread := func(c recorder.Call) bool { return !recorder.UsedMemory.Whole(&c) }
	if n := len(calls[0]); n == 0 || slices.ContainsFunc(slices.Concat(calls[:]...), unread) {
		return fmt.Errorf("cgo and pure Go: not compared: %d calls were recorded, not all of them completely", n)
	}
	found := recorder.UsedMemory.All(calls[0], calls[1])
	for _, d := range found {
		fmt.Println("cgo against pure Go:", d)
	}
	if len(found) > 0 {
		return fmt.Errorf("cgo and pure Go: their system calls have %d differences", len(found))
	}
	count, _ := recorder.UsedMemory.Count(calls[0], calls[1])
	fmt.Printf("cgo and pure Go: the same %d system calls, 0 bytes differ\n", count)
	return nil
}
