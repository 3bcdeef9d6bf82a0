//go:build unix

package socketcmd

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// maxBytes limits --bytes, because the buffer is allocated before anything is received.
const maxBytes = 1 << 30

var recvHelp = `Wait on a Unix socket for one message, and print its payload and its files: the kind of
each file, how it was opened, its offset, and the name that the kernel reports. For a
socket, also print its family, type and protocol, and whether it is listening. SOCKET is a
path, an abstract name that starts with @ (on Linux), or an inherited descriptor fd:N. Any
user can send to an abstract name.

` + socketHelp + ` COMMAND inherits it too, unless a received file has that descriptor.

With COMMAND, run it with the files as descriptors 3 and up, and with LISTEN_FDS,
LISTEN_FDNAMES and LISTEN_PID set as by systemd, and without LISTEN_PIDFDID. On Linux, COMMAND
replaces scm (execve(2)), and the rest of its environment is unchanged. On other systems, scm
starts COMMAND through /bin/sh, which may drop variables. There, scm forwards HUP, TERM, USR1
and USR2, ignores INT and QUIT, and exits with 128+N if signal N kills COMMAND.

` + cli.Inherited + `

In LISTEN_FDNAMES, each file has the last element of its path or, if it has none, its kind:
two sockets are "socket:socket". With --format runc or conmon, the sender names it. An
underscore replaces each character that systemd does not allow.

Do not trust the names of files, here or in LISTEN_FDNAMES. The sender can give a file any
path. To identify a file, compare its device and inode (fstat(2) in COMMAND). With --json,
the payload is printed in hexadecimal. If a name is not UTF-8, name_hex contains its bytes.
Without /proc, files have no names, and the kind of some is "unknown".
With --cat, sockets must be stream sockets. --expect does not distinguish between files
that were opened with O_PATH and others.

` + formatHelp() + `

On a stream socket, one receive may return only the first part of the payload. On Linux,
this happens if more than 36,544 bytes are sent with descriptors. If more bytes are
waiting, scm prints a warning. With --type seqpacket at both ends, a message is received
whole, or rejected if it is longer than --bytes.

After --timeout or a signal, scm ends within a second. The timeout does not include
COMMAND. With --connect, scm waits for a process to listen on SOCKET only if there is a
--timeout.

Exit status: that of COMMAND. Without COMMAND, or if it did not start:
  0      a message was received
  1      no message was received, it was not as expected, or COMMAND could not be started
  2      wrong usage
  4      the output cannot be written
  128+N  signal N ended scm`

// recvOptions contains the flags of recv.
type recvOptions struct {
	socketOptions
	connect bool
	bytes   int
	expect  string
	cat     bool
	json    bool
}

// Recv returns the recv command.
func Recv() *cobra.Command {
	var r recvOptions
	cmd := &cobra.Command{
		Use:   "recv SOCKET [flags] [-- COMMAND ARG…]",
		Short: "Receive files from a socket, and optionally run a command with them",
		Long:  recvHelp,
		Args:  recvArgs,
		RunE:  r.run,
	}
	r.flags(cmd)
	return cmd
}

func (r *recvOptions) flags(cmd *cobra.Command) {
	r.socketOptions.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&r.connect, "connect", false, "connect to SOCKET instead of creating it")
	f.IntVar(&r.bytes, "bytes", 64<<10, "capacity for the payload, in bytes")
	f.StringVar(&r.expect, "expect", "", "accept only files of this `KIND`: regular, directory, pipe, socket, memfd, …")
	f.BoolVar(&r.cat, "cat", false, "copy the files from their current offsets to standard output")
	f.BoolVar(&r.json, "json", false, "print a JSON object")
	cmd.MarkFlagsMutuallyExclusive("cat", "json")
	cmd.MarkFlagsMutuallyExclusive("bytes", "format") // a format has a capacity of its own
}

// recvArgs requires SOCKET, and -- before COMMAND.
func recvArgs(cmd *cobra.Command, args []string) error {
	switch dash := cmd.ArgsLenAtDash(); {
	case len(args) == 0 || dash == 0:
		return errors.New("SOCKET is missing")
	case len(args) == 1 && dash == 1:
		return errors.New("COMMAND is missing after --")
	case len(args) > 1 && dash != 1:
		return errors.New("COMMAND must follow SOCKET and --")
	}
	return nil
}

// validate checks the flags that send does not have. The parameter command is true if the command
// line contains a COMMAND to run.
func (r *recvOptions) validate(cmd *cobra.Command, command bool) error {
	switch {
	case r.connect && r.network == "unixgram":
		return errors.New("--connect cannot be used with --type dgram")
	case command && (r.cat || r.json):
		return errors.New("--cat and --json cannot be used with COMMAND")
	case r.bytes < 1 || r.bytes > maxBytes:
		return fmt.Errorf("--bytes must be between 1 and %d", maxBytes)
	case !cmd.Flags().Changed("expect"):
		return nil
	case !sys.KnownKind(r.expect):
		return fmt.Errorf("--expect %q: unknown kind of file; use regular, directory, symlink, pipe, socket, character device, "+
			"block device, memfd, eventfd, pidfd or another kind", r.expect)
	case !sys.CanTell(r.expect, false):
		return fmt.Errorf("--expect %q: this system has no such kind of file", r.expect)
	}
	return nil
}

func (r *recvOptions) run(cmd *cobra.Command, args []string) error {
	format, err := r.socketOptions.validate(cmd, args[0])
	if err != nil {
		return err
	}
	if err := r.validate(cmd, len(args) > 1); err != nil {
		return err
	}
	r.wait = !r.connect
	program := ""
	if len(args) > 1 { // first, because a received message would be lost
		if program, err = exec.LookPath(args[1]); err != nil {
			return cli.Exit(cli.ExitFail, err)
		}
	}
	var fds []int
	var names []string
	err = r.withTimeout(func(ctx context.Context) (err error) {
		var payload []byte
		payload, fds, err = r.receive(ctx, args[0], format)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the other side closed the connection without sending a message")
		case err != nil:
			return err
		case len(fds) == 0 && (r.cat || r.expect != "" || len(args) > 1):
			return errors.New("the message contained no descriptor")
		}
		names, err = r.print(cmd.OutOrStdout(), payload, fds, len(args) > 1)
		return err
	})
	if err != nil || len(args) == 1 {
		return err
	}
	return runWith(fds, listenEnviron(names), program, args[1:])
}

// receive connects to the other side and receives one message. It leaves the received descriptors
// open until scm exits.
func (r *recvOptions) receive(ctx context.Context, addr string, format wire.Format) (payload []byte, fds []int, err error) {
	c, err := r.connectTo(ctx, addr)
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
	if err == nil && r.expect != "" {
		err = expect.Enforce(fds[:nfd])
	}
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return nil, nil, fmt.Errorf("the message is longer than %d bytes (use --bytes)", r.bytes)
	case err != nil:
		return nil, nil, err
	}
	if r.network == "unix" && hasPendingByte(c) {
		cli.PrintError(errors.New("more bytes are waiting, but recv makes only one receive (use a larger --bytes, or --type seqpacket)"))
	}
	return payload[:n], fds[:nfd], nil
}

// hasPendingByte reports whether a receive would return a byte immediately.
func hasPendingByte(c *scm.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	// Recvfrom provides no buffer for control messages, so the kernel installs no descriptors.
	err = raw.Control(func(fd uintptr) { n, _, _ = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|sys.DontWait) })
	return err == nil && n > 0
}

// print prints the payload and the descriptors, unless they are for a command. It returns the names
// for LISTEN_FDNAMES.
func (r *recvOptions) print(w io.Writer, payload []byte, fds []int, command bool) (names []string, err error) {
	if r.cat {
		return nil, copyFiles(w, fds)
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
		} else if f.Name == "" || strings.Contains(f.Name, ":[") { // a pipe or socket has no name, only an inode number
			name = f.Kind
		}
		name = invalidInName.ReplaceAllString(name, "_")
		names = append(names, name[:min(len(name), 255)])
	}
	switch {
	case command: // COMMAND prints what it wants
	case r.json:
		cli.PrintJSON(w, struct {
			Payload     string `json:"payload"`
			Descriptors []file `json:"descriptors"`
		}{hex.EncodeToString(payload), list})
	default:
		fmt.Fprintf(w, "%s, %s\n", display.Line(quoted(payload)), display.Plural(len(list), "descriptor"))
		for _, f := range list {
			fmt.Fprintln(w, f)
		}
	}
	return names, nil
}

// maxShown is the number of bytes of a payload that recv prints.
const maxShown = 64

// quoted returns the length of a payload, and its first bytes in quotes.
func quoted(payload []byte) string {
	text := display.Plural(len(payload), "byte")
	if len(payload) > 0 {
		text += fmt.Sprintf(" %q", payload[:min(len(payload), maxShown)])
	}
	if len(payload) > maxShown {
		text += "…"
	}
	return text
}

// copyFiles copies received files to w, each from its current offset to its end.
func copyFiles(w io.Writer, fds []int) error {
	for _, fd := range fds { // check all of them before writing anything
		if f, err := sys.Look(fd); err != nil {
			return err
		} else if f.Kind == "socket" && f.Type != unix.SOCK_STREAM {
			return errors.New("--cat reads only stream sockets, because it could truncate the messages of another socket")
		}
	}
	for _, fd := range fds {
		f, err := scm.NewFile(fd, fmt.Sprintf("descriptor %d", fd))
		if err != nil {
			return err
		}
		_, err = io.Copy(w, waitingReader{f})
		_ = f.Close() // it was only read
		if err != nil {
			return err
		}
	}
	return nil
}

// A waitingReader waits where a Read of its file fails with EAGAIN. That is a non-blocking file that is not in the
// runtime's poller, for example because the sender has set O_NONBLOCK later.
type waitingReader struct{ file *os.File }

func (r waitingReader) Read(p []byte) (int, error) {
	for {
		n, err := r.file.Read(p)
		if !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
		raw, err := r.file.SyscallConn()
		if err != nil {
			return 0, err
		}
		var failed error
		err = raw.Control(func(fd uintptr) {
			_, failed = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		})
		if failed != nil && failed != unix.EINTR {
			err = os.NewSyscallError("poll", failed)
		}
		if err != nil {
			return 0, err
		}
	}
}

// A file describes a received descriptor.
type file struct {
	Kind   string `json:"kind"`
	Access string `json:"access"`
	Offset *int64 `json:"offset,omitempty"`   // if the file has one
	Name   string `json:"name,omitempty"`     // as the kernel reports it
	Hex    string `json:"name_hex,omitempty"` // the bytes of a name that is not UTF-8

	// These fields are set for a socket, unless it was opened with O_PATH.
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
	// The sender of a file can choose its name, so quote any name that could be mistaken for other fields.
	name := display.Line(strconv.QuoteToASCII(f.Name))
	switch {
	case f.Name == "":
		return text
	case name == `"`+f.Name+`"` && !strings.Contains(name, ", "):
		return text + ", " + f.Name
	}
	return text + ", " + name
}

// describe returns a description of a descriptor from the kernel's data.
func describe(fd int) (f file, err error) {
	known, err := sys.Look(fd)
	if err != nil && known.Access == "" {
		return f, err
	}
	f.Kind, f.Access = known.Kind, strings.TrimSuffix(known.Access, "-only")
	if err != nil || f.Kind == "file of unknown kind" { // without /proc, or on another user's FUSE file system
		f.Kind = "unknown"
	}
	if known.Kind == "socket" && known.Access != "path" {
		f.Family, f.Type = sys.FamilyName(known.Family), sys.TypeName(known.Type)
		if known.Protocol != 0 {
			f.Protocol = cmp.Or(sys.ProtocolName(known.Family, known.Protocol), fmt.Sprintf("protocol %d", known.Protocol))
		}
		f.Listening, _ = sys.Listening(fd) // if this fails, the socket is not listening
	}
	// This works on Linux only.
	if f.Name, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasPrefix(f.Name, "anon_inode:") {
		f.Name = "" // it only repeats the kind
	}
	if !utf8.ValidString(f.Name) {
		f.Hex = hex.EncodeToString([]byte(f.Name))
	}
	if f.Access != "path" && slices.Contains([]string{"regular", "memfd", "block device"}, f.Kind) {
		if offset, err := unix.Seek(fd, 0, io.SeekCurrent); err == nil { // some files in /sys cannot seek
			f.Offset = &offset
		}
	}
	return f, nil
}

// invalidInName matches the characters that systemd does not allow in LISTEN_FDNAMES. systemd also limits names to 255
// bytes.
var invalidInName = regexp.MustCompile(`[^ !-9;-~]`)

// listenVariables are the environment variables of systemd that describe the descriptors of a process.
var listenVariables = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"}

// listenEnviron returns scm's environment, with the variables of systemd for files of these names instead of those
// that scm inherited. LISTEN_PID is missing.
func listenEnviron(names []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(listenVariables, name)
	})
	return append(env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
}
