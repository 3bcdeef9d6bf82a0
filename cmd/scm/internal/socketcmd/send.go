//go:build unix

package socketcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// sendOptions contains the flags of send.
type sendOptions struct {
	socketOptions
	inherited []int
	payload   string
	hex       string
	mode      string
}

// openModes contains the flags of open(2) for each --mode.
var openModes = map[string]int{
	"read": unix.O_RDONLY, "write": unix.O_WRONLY, "read-write": unix.O_RDWR, "append": unix.O_WRONLY | unix.O_APPEND,
}

var sendHelp = `Open files, and send them over a Unix socket in one message. SOCKET is a path, an abstract
name that starts with @ (on Linux), or an inherited descriptor fd:N. The descriptors of
--fd follow those of the files. If descriptor 0, 1 or 2 is closed when scm starts, it
refers to /dev/null.

On a stream socket, one receive may return only the first part of the payload. On Linux,
this happens if more than 36,544 bytes are sent with descriptors. To send more, use
--type seqpacket at both ends.

` + formatHelp() + `
By default, the payload of runc and conmon is the name of the first FILE, and that of the
other formats is empty.

` + socketHelp + ` OpenSSH and libfuse
receive a descriptor over such a socket. A ProxyCommand with ProxyUseFdpass sends the
connection over descriptor 1, and a mount helper sends /dev/fuse over _FUSE_COMMFD:

  exec 3<>/dev/tcp/HOST/22; exec scm send --format openssh fd:1 --fd 3
  exec scm send --format fusermount fd:$_FUSE_COMMFD --fd 3

The process that has bound SOCKET receives the files. With --listen, the first process to
connect receives them. For an abstract name, or a path in /tmp that another user binds
first, that can be any user. Use a path in a directory of your own.

The --timeout includes waiting for the other end of a FIFO, for the socket, for the other
side (--listen), and for space in its queue. Without --timeout, send does not wait for the
socket: it fails if no process listens there. Send never waits until the message is received.

Exit status:
  0      the message was sent
  1      the message was not sent
  2      wrong usage
  128+N  signal N ended scm`

// Send returns the send command.
func Send() *cobra.Command {
	var s sendOptions
	cmd := &cobra.Command{
		Use:   "send SOCKET [FILE…]",
		Short: "Open files, and send them over a socket",
		Long:  sendHelp,
		Args:  cli.NeedArgs("SOCKET"),
		RunE:  s.run,
	}
	s.flags(cmd)
	return cmd
}

func (s *sendOptions) flags(cmd *cobra.Command) {
	s.socketOptions.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&s.wait, "listen", false, "create the socket, and wait for the other side to connect")
	f.IntSliceVar(&s.inherited, "fd", nil, "also send the inherited descriptor `N`; may be repeated")
	f.StringVar(&s.payload, "payload", "", "bytes to send with the descriptors (default: one zero byte)")
	f.StringVar(&s.hex, "hex", "", "the payload in hexadecimal digits")
	f.StringVar(&s.mode, "mode", "read", "open the files in this `MODE`: read, write, read-write or append")
	cmd.MarkFlagsMutuallyExclusive("payload", "hex")
}

func (s *sendOptions) run(cmd *cobra.Command, args []string) error {
	format, err := s.socketOptions.validate(cmd, args[0])
	if err != nil {
		return err
	}
	if s.wait && s.network == "unixgram" {
		return errors.New("--listen cannot be used with --type dgram")
	}
	payload, err := s.payloadBytes(cmd, args[1:])
	if err != nil {
		return err
	}
	if err := s.validateMessage(format, payload, len(args)-1+len(s.inherited)); err != nil {
		return err
	}
	flags, ok := openModes[s.mode]
	if !ok {
		return fmt.Errorf("--mode must be read, write, read-write or append, not %q", s.mode)
	}
	return s.withTimeout(func(ctx context.Context) error {
		fds, err := openFiles(args[1:], s.inherited, flags)
		if err != nil {
			return err
		}
		c, err := s.connectTo(ctx, args[0])
		if err != nil {
			return err
		}
		return s.send(ctx, c, format, payload, fds)
	})
}

// payloadBytes returns the payload, or the text for the format.
func (s *sendOptions) payloadBytes(cmd *cobra.Command, files []string) (string, error) {
	switch {
	case cmd.Flags().Changed("payload"):
		return s.payload, nil
	case cmd.Flags().Changed("hex"):
		b, err := hex.DecodeString(s.hex)
		if err != nil {
			return "", fmt.Errorf("--hex: %w", err)
		}
		return string(b), nil
	case namesFile(s.format) && len(files) > 0:
		return files[0], nil
	case s.format != "":
		return "", nil
	}
	return "\x00", nil
}

// validateMessage returns an error if no receiver could receive the message: if it has too many files,
// or a text that the format does not allow.
func (s *sendOptions) validateMessage(format wire.Format, payload string, files int) error {
	var rejected *wire.FormatError
	switch {
	case format != nil:
		// -1 is not a socket, so nothing is sent.
		err := format.Send(wire.FD(-1), payload, make([]int, files)...)
		if errors.As(err, &rejected) {
			return err
		}
	case payload == "" && s.network == "unix":
		return errors.New("the payload is empty, but a stream socket needs at least one byte")
	case files > scm.MaxFDs:
		return fmt.Errorf("%d files are too many: a message can carry at most %d", files, scm.MaxFDs)
	}
	return nil
}

// send sends the message. After a signal or --timeout it closes the connection. Otherwise the
// connection stays open until scm exits.
func (s *sendOptions) send(ctx context.Context, c *scm.Conn, format wire.Format, payload string, fds []int) error {
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if format != nil {
		return format.Send(c, payload, fds...)
	}
	m := scm.Message{Buffers: [][]byte{[]byte(payload)}, FDs: fds}
	if err := c.Send(&m, 0); err != nil {
		return err
	}
	if m.N == len(payload) {
		return nil
	}
	_, err := c.Write([]byte(payload)[m.N:])
	return err
}
