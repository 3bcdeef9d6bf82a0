//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A screen prints lines. On a terminal, it keeps rewriting the last line, which shows the progress of the run.
type screen struct {
	sync.Mutex
	out      *os.File
	terminal bool
	shown    bool // the last line is a progress line
}

func newScreen(out *os.File) *screen {
	_, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ)
	return &screen{out: out, terminal: err == nil}
}

func (s *screen) clear() {
	s.Lock()
	defer s.Unlock()
	s.clearLine()
}

func (s *screen) clearLine() {
	if s.shown {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
	s.shown = false
}

func (s *screen) print(text string) {
	s.Lock()
	defer s.Unlock()
	s.clearLine()
	fmt.Fprint(s.out, text)
}

func (s *screen) printf(format string, args ...any) { s.print(fmt.Sprintf(format, args...) + "\n") }

// progress prints a line that, on a terminal, the next output replaces.
func (s *screen) progress(line string) {
	if !s.terminal {
		s.print(line + "\n")
		return
	}
	if size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 1 && len(line) >= int(size.Col) {
		line = line[:size.Col-1]
	}
	s.Lock()
	defer s.Unlock()
	s.clearLine()
	fmt.Fprint(s.out, line)
	s.shown = true
}

// A logFile keeps the output of a part.
type logFile struct {
	file *os.File
	name string
	err  error
}

var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// plain returns a text without colours, which Ginkgo prints also to a pipe. NetBSD's console ends lines with \r\n.
func plain(text string) string {
	return colour.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), "")
}

func newLog(name string) (*logFile, error) {
	file, err := os.Create(name)
	return &logFile{file: file, name: name}, err
}

// Write writes to the file. After an error it does nothing, so that a full disk does not end the tests.
func (l *logFile) Write(text []byte) {
	if l.err == nil {
		_, l.err = l.file.Write(text)
	}
}

func (l *logFile) close() error {
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}
