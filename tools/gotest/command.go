package main

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"strings"
)

// runCommand runs a command that prints "ok NAME", "not ok NAME" and "skip NAME: REASON" for its tests. A line
// "# NAME" is a heading, which becomes part of the names of the failed tests below it.
func runCommand(name string, args []string, w, log io.Writer) (*part, error) {
	if len(args) == 0 {
		return nil, errors.New("there is no command")
	}
	cmd := exec.Command(args[0], args[1:]...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &part{Name: name}
	var heading string
	var summaries []string
	for in := bufio.NewReader(stdout); err == nil; {
		var line string
		line, err = in.ReadString('\n')
		_, _ = io.WriteString(io.MultiWriter(w, log), line)
		line = strings.TrimSuffix(line, "\n")
		switch text, comment := strings.CutPrefix(line, "# "); {
		case comment && strings.Contains(text, ": failed:"):
			summaries = append(summaries, text)
		case comment:
			heading = text
		case strings.HasPrefix(line, "ok "):
			p.Passed++
		case strings.HasPrefix(line, "not ok "):
			p.fail(strings.TrimPrefix(heading+": "+strings.TrimPrefix(line, "not ok "), ": "))
		case strings.HasPrefix(line, "skip ") || strings.HasPrefix(line, "skip: "):
			p.Skipped++
		}
	}
	if err != io.EOF {
		return nil, err
	}
	if err := cmd.Wait(); err != nil && p.Failed == 0 { // a test crashed, or something does not build
		for _, s := range summaries {
			p.fail(s)
		}
		if p.Failed == 0 {
			p.fail(err.Error())
		}
	}
	if p.Passed+p.Failed+p.Skipped == 0 { // a linter, for example
		p.Note = "ok"
	}
	return p, nil
}
