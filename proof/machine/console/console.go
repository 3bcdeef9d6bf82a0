// Package console runs commands in an emulated machine, and returns their results over its serial console.
package console

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/proof/must"
)

// Commands is the list of commands, which both ends of the console need.
type Commands struct {
	Mark string // begins each line of a result; nothing else on the console contains it
	List [][]string
}

// A Result is the result of a command.
type Result struct {
	Error string            // "", or why the command failed
	Files map[string][]byte // by name
}

// end is the line after a result.
const end = "."

// Run runs the commands one after the other. It prints the result of each as soon as the command has ended, with
// the files that the command has left in dir, which it removes.
func (c *Commands) Run(dir string, console io.Writer) {
	for _, words := range c.List {
		r := Result{Files: map[string][]byte{}}
		cmd := exec.Command(words[0], words[1:]...)
		// The output goes through a pipe. If it were a terminal, scm would draw its progress, which keeps a serial line
		// busy most of the time.
		pipe := struct{ io.Writer }{console}
		cmd.Stdout, cmd.Stderr = pipe, pipe
		err := cmd.Run()
		names, _ := filepath.Glob(filepath.Join(dir, "*")) // the pattern is correct
		for _, name := range names {
			text, unread := os.ReadFile(name)
			r.Files[filepath.Base(name)] = text
			err = errors.Join(err, unread, os.Remove(name))
		}
		if err != nil {
			r.Error = err.Error()
		}
		c.print(r, console)
	}
}

func (c *Commands) print(r Result, console io.Writer) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	must.OK(errors.Join(gob.NewEncoder(z).Encode(r), z.Close()))
	text := []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))
	for line := range slices.Chunk(text, 120) {
		must.Get(fmt.Fprintf(console, "\n%s%s", c.Mark, line))
	}
	must.Get(fmt.Fprintf(console, "\n%s%s\n", c.Mark, end))
}

// ErrRead means that Read did not reach the end of the console.
var ErrRead = errors.New("reading the console")

// Read reads the console up to the last result, or to its end if there are no commands. It returns an error unless it
// found the result of each command.
func (c *Commands) Read(console io.Reader) (list []Result, err error) {
	var text strings.Builder
	in := bufio.NewReader(console)
	for len(c.List) == 0 || len(list) < len(c.List) {
		line, ended := in.ReadString('\n')
		if ended != nil {
			if ended != io.EOF {
				err = errors.Join(err, fmt.Errorf("%w: %w", ErrRead, ended))
			}
			break
		}
		// The line may begin with something that the kernel printed without a newline.
		_, line, marked := strings.Cut(strings.TrimRight(line, "\r\n"), c.Mark)
		switch {
		case !marked:
		case line != end:
			text.WriteString(line)
		default:
			var r Result
			if damaged := must.Try(func() { r = decode(text.String()) }); damaged != nil {
				err = errors.Join(err, fmt.Errorf("the result of command %d arrived damaged: %w", len(list)+1, damaged))
			}
			list = append(list, r)
			text.Reset()
		}
	}
	if len(list) < len(c.List) {
		err = errors.Join(err, fmt.Errorf("the machine stopped after %d of %d commands", len(list), len(c.List)))
	}
	return list, err
}

func decode(text string) (r Result) {
	packed := must.Get(base64.StdEncoding.DecodeString(text))
	z := must.Get(gzip.NewReader(bytes.NewReader(packed)))
	// Read to the end, so that gzip verifies the checksum.
	whole := must.Get(io.ReadAll(z))
	must.OK(gob.NewDecoder(bytes.NewReader(whole)).Decode(&r))
	return r
}
