//go:build unix

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// mostBytes is the most room that a message is given, which is allocated before it is received.
const mostBytes = 1 << 30

// A receiving is what recv does with what it receives.
type receiving struct {
	meeting
	connect bool
	bytes   int
	expect  string
	cat     bool
	json    bool
	worker  bool
}

// otherWords maps other words for a kind of file, in lower case, to the kind. A word in lower
// case that is not here may be a kind: the kernel has names of its own for anonymous files.
var otherWords = map[string]string{
	"file": "regular", "regular file": "regular", "dir": "directory", "folder": "directory", "link": "symlink",
	"symbolic link": "symlink", "fifo": "pipe", "named pipe": "pipe", "tty": "character device", "terminal": "character device",
}

// kindOf returns the kind that a word is for. None has a capital letter.
func kindOf(word string) string {
	word = strings.ToLower(word)
	return cmp.Or(otherWords[word], word)
}

func recvCommand() *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use:   "recv SOCKET [-- COMMAND ARG…]",
		Short: "Receive files through a socket, and run a command with them",
		Long: `Wait at a Unix socket for one message, and print what was received with it: for each
descriptor its kind, how it was opened, the offset and the name that the kernel has
for it, in quotes where it holds more than plain text. With COMMAND, that runs in
place of scm, with the files as descriptors 3 and up and with LISTEN_FDS,
LISTEN_FDNAMES and LISTEN_PID as systemd sets them. SOCKET is a path or, on Linux, an
abstract name that begins with @.

The name proves nothing, here and in LISTEN_FDNAMES: who sends a file can arrange that
it is any path. Compare device and inode (fstat(2) in COMMAND) to know a file. Any user
can send to an abstract name.

On a stream the message is what one receive brings, and that can be the first part of
what was sent: on Linux, of more than 36,544 bytes beside a descriptor. If more bytes
wait, scm says so on standard error; a late one can come after that. With --type
seqpacket, at both ends, a message is received whole, or not at all (--bytes).

In JSON the payload is hexadecimal digits. A name that is not UTF-8 has its bytes in
name_hex, in hexadecimal digits, and U+FFFD for each wrong byte in name.

` + inherited + `

With --timeout, and after a signal, scm ends within a second, whatever was received,
unless somebody has stopped its child process (SIGSTOP): then 5 seconds after a signal.
With COMMAND, or without /proc, that is not so for a file of a file system whose server
does not answer, or a socket that its sender holds: the kernel closes it only after that.

Exit status: that of COMMAND; else 0 it came, 1 it did not, or not as expected,
2 wrong usage, 4 the output cannot be written, 128 and its number after a signal.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) == 0 || dash == 0 || dash < 0 && len(args) > 1 || dash > 1 || dash == len(args) {
				return errors.New("recv takes SOCKET, and perhaps -- COMMAND ARG…")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := r.check(cmd, args[0])
			if err != nil {
				return err
			}
			r.wait = !r.connect
			switch {
			case r.connect && r.kind == "dgram":
				return errors.New("a datagram socket that connects hears of nobody: no --connect with --type dgram")
			case len(args) > 1 && (r.cat || r.json):
				return errors.New("a command prints for itself: no --cat or --json with one")
			case r.cat && r.json:
				return errors.New("--cat or --json, and not both")
			case format != nil && cmd.Flags().Changed("bytes"):
				return errors.New("a format has room of its own: no --bytes with --format")
			case r.bytes < 1 || r.bytes > mostBytes:
				return fmt.Errorf("--bytes must be from 1 to %d", mostBytes)
			case cmd.Flags().Changed("expect") && r.expect == "":
				return errors.New("--expect needs a kind of file")
			case r.expect != kindOf(r.expect):
				return fmt.Errorf("--expect %q: the kind is called %q", r.expect, kindOf(r.expect))
			case !sys.CanTell(r.expect, false):
				return fmt.Errorf("--expect %q: this system knows no such kind", r.expect)
			}
			if len(args) == 1 && !r.worker {
				if started, err := inWorker(); started {
					return err
				}
			}
			program := ""
			if len(args) > 1 { // before anything is received, which would be lost
				if program, err = exec.LookPath(args[1]); err != nil {
					return &exitError{exitFail, err}
				}
			}
			ctx, stop := r.context()
			if r.worker {
				// A partner can pass the terminal. Reading it in the background would stop
				// the worker and its parent with it; so the read fails with EIO.
				signal.Ignore(unix.SIGTTIN, unix.SIGTTOU)
				// To the end a signal, which can come from the parent and from the
				// terminal, ends it only in order.
				ctx = untilParentEnds(ctx)
			} else {
				defer stop()
			}
			var payload []byte
			var fds []int
			err = during(ctx, cleanUp, func() (err error) {
				payload, fds, err = r.receive(ctx, args[0], format)
				return err
			})
			if err != nil {
				return failure(ctx, err)
			}
			err = during(ctx, 0, func() error {
				if len(args) > 1 {
					return r.run(program, args[1:], format, payload, fds)
				}
				return r.tell(cmd.OutOrStdout(), payload, fds)
			})
			if ctx.Err() != nil && err == context.Cause(ctx) {
				return failure(ctx, err)
			}
			return err
		},
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&r.connect, "connect", false, "connect to the socket of the other side, in place of making one")
	f.IntVar(&r.bytes, "bytes", 64<<10, "room for so many bytes of the payload")
	f.StringVar(&r.expect, "expect", "", "refuse any descriptor but of this `KIND`, with O_PATH or without: regular, directory, pipe, socket, memfd, …")
	f.BoolVar(&r.cat, "cat", false, "copy the files to standard output, from where they are, byte for byte; no signalfd, and of sockets only streams")
	f.BoolVar(&r.json, "json", false, "print a JSON object")
	f.BoolVar(&r.worker, workerFlag, false, "")
	_ = f.MarkHidden(workerFlag) // it is there
	return cmd
}

// receive meets the other side and receives one message. Nothing closes the
// descriptors but the end of scm.
func (r *receiving) receive(ctx context.Context, addr string, format wire.Format) (payload []byte, fds []int, err error) {
	c, err := r.meet(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	expect := scm.Expect{Max: scm.MaxFDs, Kind: scm.Kind(r.expect), Access: "any"}
	if format != nil {
		text := ""
		err = withSocket(ctx, c, func(sock int) error {
			text, fds, err = format.Recv(sock)
			return err
		})
		switch {
		case err == nil && ctx.Err() != nil: // a datagram socket that was shut down brings an empty message
			closeAll(fds)
			err = ctx.Err()
		case err == nil && r.expect != "":
			err = expect.Check(fds)
		}
		return []byte(text), fds, noMessage(err)
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	m := scm.Message{Buffers: [][]byte{make([]byte, r.bytes)}, FDs: make([]int, scm.MaxFDs)}
	if err := c.RecvExpect(expect, &m, 0); err != nil {
		return nil, nil, noMessage(err)
	}
	payload, fds = m.Buffers[0][:m.N], m.FDs[:m.NFD]
	switch {
	case m.Flags&unix.MSG_TRUNC != 0:
		closeAll(fds)
		return nil, nil, fmt.Errorf("the message is longer than %d bytes: see --bytes", r.bytes)
	case r.kind == "stream" && waiting(c):
		printError(errors.New("more bytes wait than recv takes: of a stream, that is what one receive brings (--bytes, or --type seqpacket)"))
	}
	return payload, fds, nil
}

// waiting reports whether a receive would bring a byte at once.
func waiting(c *scm.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	// Without room for control messages, no descriptor is installed.
	err = raw.Control(func(fd uintptr) { n, _, _ = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|sys.DontWait) })
	return err == nil && n > 0
}

func noMessage(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the other side ended without a message")
	}
	return err
}

// errNoDescriptor is the error of a command, --cat or --expect that has no file to work on.
var errNoDescriptor = errors.New("the message came without a descriptor")

// tell prints what was received.
func (r *receiving) tell(w io.Writer, payload []byte, fds []int) error {
	if len(fds) == 0 && (r.cat || r.expect != "") {
		return &exitError{exitFail, errNoDescriptor}
	}
	if r.cat {
		for _, fd := range fds { // before anything is written
			if err := refuseCat(fd); err != nil {
				return &exitError{exitFail, err}
			}
		}
		for _, fd := range fds {
			var unwritten *exitError
			if err := copyOut(output{w}, fd); errors.As(err, &unwritten) {
				return err
			} else if err != nil {
				return &exitError{exitFail, err}
			}
		}
		return nil
	}
	list := []file{}
	for _, fd := range fds {
		f, err := describe(fd)
		if err == nil {
			err = f.locate(fd)
		}
		if err != nil {
			return &exitError{exitFail, err}
		}
		list = append(list, f)
	}
	if r.json {
		return orBroken(writeJSON(w, payload, list))
	}
	if _, err := fmt.Fprintf(w, "%s, %s\n", display.Line(quoted(payload)), count(len(list), "descriptor")); err != nil {
		return broken(err)
	}
	for _, f := range list {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return broken(err)
		}
	}
	return nil
}

// writeJSON prints the message as JSON. It encodes the payload piece by piece, because a payload
// can be 1 GiB long.
func writeJSON(w io.Writer, payload []byte, list []file) error {
	descriptors, err := json.Marshal(list)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(`{"payload":"`) // Flush has the first error
	_, _ = hex.NewEncoder(out).Write(payload)
	_, _ = fmt.Fprintf(out, `","descriptors":%s}`+"\n", display.JSON(descriptors))
	return out.Flush()
}

// mostShown is how many bytes of a payload are shown.
const mostShown = 64

func quoted(payload []byte) string {
	text := count(len(payload), "byte")
	switch {
	case len(payload) > mostShown:
		text += fmt.Sprintf(" %q…", payload[:mostShown])
	case len(payload) > 0:
		text += fmt.Sprintf(" %q", payload)
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// An output is where --cat writes. Its errors give exit status 4; those of the received files, 1.
type output struct{ io.Writer }

func (o output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	return n, orBroken(err)
}

// refuseCat returns an error for a file whose bytes --cat must not read, or could not read whole.
func refuseCat(fd int) error {
	f, err := describe(fd)
	if err != nil {
		return err
	}
	if f.Kind == "signalfd" {
		return errors.New("--cat reads no signalfd: that takes the signals of the process that reads")
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == nil && kind != unix.SOCK_STREAM {
		return errors.New("--cat reads no socket that keeps messages apart: it could truncate them")
	}
	return nil
}

// copyOut reads a received file to its end. It blocks or does not, as the sender
// has it.
func copyOut(w io.Writer, fd int) error {
	n, err := unix.Dup(fd) // the file below closes its own
	if err != nil {
		return fmt.Errorf("dup: %w", err)
	}
	f, err := scm.NewFile(n, fmt.Sprintf("descriptor %d", fd))
	if err != nil {
		_ = unix.Close(n)
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, patient{f, fd})
	return err
}

// patient reads from a file that may be out of the poller and not block.
type patient struct {
	file *os.File
	fd   int
}

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.file.Read(b)
		if !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return 0, os.NewSyscallError("poll", err)
		}
	}
}
