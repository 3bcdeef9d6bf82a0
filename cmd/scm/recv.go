//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

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
}

func recvCommand() *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use:   "recv SOCKET [-- COMMAND ARG…]",
		Short: "Receive files through a socket, and run a command with them",
		Long: `Wait at a Unix socket for one message, and print what was received with it: for each
descriptor its kind, how it was opened, the offset and the name that the kernel has for
it. For a socket, also print its family, type and protocol, and whether it is listening.
With COMMAND, run that with the files as descriptors 3 and up and with LISTEN_FDS,
LISTEN_FDNAMES and LISTEN_PID as systemd sets them. SOCKET is a path or, on Linux, an
abstract name that begins with @, to which any user can send.

The name proves nothing, here and in LISTEN_FDNAMES: who sends a file can arrange that it
is any path. Compare device and inode (fstat(2) in COMMAND) to know a file. In JSON the
payload is hexadecimal digits. A name that is not UTF-8 has its bytes in name_hex.

On a stream one receive can bring the first part of what was sent: on Linux, of more than
36,544 bytes beside a descriptor. If more bytes wait, scm says so on standard error. With
--type seqpacket, at both ends, a message is received whole, or not at all (--bytes).

scm hands HUP, TERM, USR1 and USR2 on to COMMAND, and does not end by INT and QUIT while
it runs. With --timeout, and after a signal, scm ends within a second; COMMAND has no timeout.

Exit status: that of COMMAND, or 128 and its number if a signal ended it; else 0 it
came, 1 it did not, or not as expected, 2 wrong usage, 4 the output cannot be written,
128 and its number after a signal.`,
		Args: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if len(args) == 1 && dash < 0 || len(args) > 1 && dash == 1 {
				return nil
			}
			return errors.New("recv takes SOCKET, and perhaps -- COMMAND ARG…")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := r.check(cmd, args[0])
			if err != nil {
				return err
			}
			if err := r.refused(cmd, len(args) > 1); err != nil {
				return err
			}
			r.wait = !r.connect
			if len(args) > 1 { // before anything is received, which would be lost
				if _, err := exec.LookPath(args[1]); err != nil {
					return &exitError{exitFail, err}
				}
			}
			var fds []int
			var names []string
			err = r.within(func(ctx context.Context) (err error) {
				var payload []byte
				payload, fds, err = r.receive(ctx, args[0], format)
				switch {
				case errors.Is(err, io.EOF):
					return errors.New("the other side ended without a message")
				case err != nil:
					return err
				case len(fds) == 0 && (r.cat || r.expect != "" || len(args) > 1):
					return errors.New("the message came without a descriptor")
				}
				names, err = r.print(cmd.OutOrStdout(), payload, fds, len(args) > 1)
				return err
			})
			if err != nil || len(args) == 1 {
				return err
			}
			return runWith(fds, names, args[1:])
		},
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&r.connect, "connect", false, "connect to the socket of the other side, in place of making one")
	f.IntVar(&r.bytes, "bytes", 64<<10, "room for so many bytes of the payload")
	f.StringVar(&r.expect, "expect", "", "refuse any descriptor but of this `KIND`, with O_PATH or without: "+
		"regular, directory, pipe, socket, memfd, …")
	f.BoolVar(&r.cat, "cat", false, "copy the files to standard output, from where they are, byte for byte; of sockets only streams")
	f.BoolVar(&r.json, "json", false, "print a JSON object")
	cmd.MarkFlagsMutuallyExclusive("cat", "json")
	cmd.MarkFlagsMutuallyExclusive("bytes", "format") // which has room of its own
	return cmd
}

// refused returns an error for flags that cannot be.
func (r *receiving) refused(cmd *cobra.Command, command bool) error {
	switch {
	case r.connect && r.network == "unixgram":
		return errors.New("a datagram socket that connects hears of nobody: no --connect with --type dgram")
	case command && (r.cat || r.json):
		return errors.New("a command prints for itself: no --cat or --json with one")
	case r.bytes < 1 || r.bytes > mostBytes:
		return fmt.Errorf("--bytes must be from 1 to %d", mostBytes)
	case !cmd.Flags().Changed("expect"):
		return nil
	case !sys.KnownKind(r.expect):
		return fmt.Errorf("--expect %q: no such kind of file: regular, directory, symlink, pipe, socket, character device, "+
			"block device, memfd, eventfd, pidfd, …", r.expect)
	case !sys.CanTell(r.expect, false):
		return fmt.Errorf("--expect %q: this system knows no such kind", r.expect)
	}
	return nil
}

// receive meets the other side and receives one message. Nothing closes the
// descriptors but the end of scm.
func (r *receiving) receive(ctx context.Context, addr string, format wire.Format) (payload []byte, fds []int, err error) {
	c, err := r.meet(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	expect := scm.Expect{Max: scm.MaxFDs, Kind: scm.Kind(r.expect), Access: scm.AccessAny}
	if format != nil {
		text, fds, err := format.Recv(c)
		if err == nil && r.expect != "" {
			err = expect.Enforce(fds)
		}
		return []byte(text), fds, err
	}
	payload, fds = make([]byte, r.bytes), make([]int, scm.MaxFDs)
	n, nfd, err := c.ReadFDs(payload, fds)
	if err == nil {
		err = expect.Enforce(fds[:nfd])
	}
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return nil, nil, fmt.Errorf("the message is longer than %d bytes: see --bytes", r.bytes)
	case err != nil:
		return nil, nil, err
	}
	if r.network == "unix" && waiting(c) {
		printError(errors.New("more bytes wait than recv takes: of a stream, that is what one receive brings (--bytes, or --type seqpacket)"))
	}
	return payload[:n], fds[:nfd], nil
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

// print prints what was received, and nothing if it is for a command. names is what LISTEN_FDNAMES has.
func (r *receiving) print(w io.Writer, payload []byte, fds []int, command bool) (names []string, err error) {
	if r.cat {
		return nil, cat(w, fds)
	}
	list := []file{}
	for _, fd := range fds {
		f, err := describe(fd)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
		name := path.Base(f.Name)
		if namesFile(r.format) {
			name = string(payload)
		} else if f.Name == "" || strings.Contains(f.Name, ":[") { // of a pipe or socket: a number
			name = f.Kind
		}
		name = unfit.ReplaceAllString(name, "_")
		names = append(names, name[:min(len(name), 255)])
	}
	switch {
	case command: // which prints for itself
	case r.json:
		printJSON(w, struct {
			Payload     string `json:"payload"`
			Descriptors []file `json:"descriptors"`
		}{hex.EncodeToString(payload), list})
	default:
		fmt.Fprintf(w, "%s, %s\n", display.Line(quoted(payload)), count(len(list), "descriptor"))
		for _, f := range list {
			fmt.Fprintln(w, f)
		}
	}
	return names, nil
}

// mostShown is how many bytes of a payload are shown.
const mostShown = 64

func quoted(payload []byte) string {
	text := count(len(payload), "byte")
	if len(payload) > 0 {
		text += fmt.Sprintf(" %q", payload[:min(len(payload), mostShown)])
	}
	if len(payload) > mostShown {
		text += "…"
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// cat copies received files to their ends.
func cat(w io.Writer, fds []int) error {
	for _, fd := range fds { // before anything is written
		if f, err := sys.Look(fd); err != nil {
			return err
		} else if f.Kind == "socket" && f.Type != unix.SOCK_STREAM {
			return errors.New("--cat reads no socket that keeps messages apart: it could truncate them")
		}
	}
	for _, fd := range fds {
		f, err := scm.NewFile(fd, fmt.Sprintf("descriptor %d", fd))
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		_ = f.Close() // it was read
		if err != nil {
			return err
		}
	}
	return nil
}

// A file is what recv reports of a descriptor.
type file struct {
	Kind   string `json:"kind"`
	Access string `json:"access"`
	Offset *int64 `json:"offset,omitempty"`   // of what has one
	Name   string `json:"name,omitempty"`     // that the kernel has for it
	Hex    string `json:"name_hex,omitempty"` // the same, where it is not UTF-8

	// For a socket that was not opened with O_PATH.
	Family    string `json:"family,omitempty"`
	Type      string `json:"type,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	Listening bool   `json:"listening,omitempty"`
}

func (f file) String() string {
	text := f.Kind + ", " + f.Access
	for _, word := range []string{f.Family, f.Type, f.Protocol} {
		if word != "" {
			text += ", " + word
		}
	}
	if f.Listening {
		text += ", listening"
	}
	if f.Offset != nil {
		text += fmt.Sprintf(", offset %d", *f.Offset)
	}
	// Who passes a file chooses its name.
	name := display.Line(strconv.QuoteToASCII(f.Name))
	switch {
	case f.Name == "":
		return text
	case name == `"`+f.Name+`"` && !strings.Contains(name, ", "):
		return text + ", " + f.Name
	}
	return text + ", " + name
}

// describe returns what the kernel knows of a descriptor.
func describe(fd int) (f file, err error) {
	known, err := sys.Look(fd)
	if err != nil {
		return f, err
	}
	f.Kind, f.Access = known.Kind, strings.TrimSuffix(known.Access, "-only")
	if f.Kind == "file of unknown kind" { // another user's FUSE file
		f.Kind = "unknown"
	}
	if known.Kind == "socket" && known.Access != "path" {
		f.Family, f.Type = sys.FamilyName(known.Family), sys.TypeName(known.Type)
		if known.Protocol != 0 {
			f.Protocol = cmp.Or(sys.ProtocolName(known.Family, known.Protocol), fmt.Sprintf("protocol %d", known.Protocol))
		}
		f.Listening, _ = sys.Listening(fd) // a socket that cannot answer does not listen
	}
	// Only Linux has it.
	if f.Name, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasPrefix(f.Name, "anon_inode:") {
		f.Name = "" // the kind says it
	}
	if !utf8.ValidString(f.Name) {
		f.Hex = hex.EncodeToString([]byte(f.Name))
	}
	if f.Access != "path" && slices.Contains([]string{"regular", "memfd", "block device"}, f.Kind) {
		if offset, err := unix.Seek(fd, 0, io.SeekCurrent); err == nil { // not of all: some files in /sys cannot seek
			f.Offset = &offset
		}
	}
	return f, nil
}

// unfit is what systemd would not take in a name, of which it takes 255 bytes.
var unfit = regexp.MustCompile(`[^ !-9;-~]`)

// runWith runs a command with the descriptors as 3 and up, which it closes here, and the variables by
// which systemd says so. The shell knows the number that the process will have, and leaves it to the command.
func runWith(fds []int, names, command []string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ && export LISTEN_PID && exec "$@"`, "sh"}, command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LISTEN_") })
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(fds)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	for _, fd := range fds {
		f, err := scm.NewFile(fd, "received")
		if err != nil {
			return &exitError{exitFail, err}
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	kept, passed := make(chan os.Signal, 1), make(chan os.Signal, 8)
	listen(kept, syscall.SIGINT, syscall.SIGQUIT) // the terminal sends them to the command too
	listen(passed, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(kept)
	defer signal.Stop(passed)
	err := cmd.Start()
	for _, f := range cmd.ExtraFiles {
		_ = f.Close() // the command has it
	}
	if err != nil {
		return &exitError{exitFail, err}
	}
	go func() {
		for s := range passed {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return &exitError{exitFail, err}
	}
	if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
		return &exitError{code: exitSignal + int(s.Signal())}
	}
	return &exitError{code: exit.ExitCode()}
}
