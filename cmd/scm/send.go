//go:build unix

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A sending is what send sends.
type sending struct {
	meeting
	inherited []int
	payload   string
	hex       string
	mode      string
}

// modes are how send opens files.
var modes = map[string]int{
	"read": unix.O_RDONLY, "write": unix.O_WRONLY, "read-write": unix.O_RDWR, "append": unix.O_WRONLY | unix.O_APPEND,
}

func sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send SOCKET [FILE…]",
		Short: "Open files, and pass them through a socket",
		Long: `Open files, and pass them through a Unix socket in one message. SOCKET is a path or,
on Linux, an abstract name that begins with @. The descriptors of --fd go behind
those of the files. A closed descriptor 0, 1 or 2 is /dev/null by then.

On a stream, one receive can bring the first part of the payload: on Linux, of more than
36,544 bytes beside a descriptor. Use --type seqpacket, at both ends, for more.

Who has bound SOCKET receives the files, and with --listen who connects first: any user,
of an abstract name or a path in /tmp. Use a path in a folder of your own.

--timeout bounds all that send waits for: the other end of a FIFO, the socket, the other
side (--listen), and room in its queue. Send does not wait until the message is received.

Exit status: 0 it was sent, 1 it was not, 2 wrong usage, 128 and its number after
a signal.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := s.check(cmd, args[0])
			if err != nil {
				return err
			}
			if s.wait && s.network == "unixgram" {
				return errors.New("a datagram socket has nobody to wait for: no --listen with --type dgram")
			}
			payload, err := s.bytes(cmd, args[1:])
			if err != nil {
				return err
			}
			if err := s.refused(format, payload, len(args)-1+len(s.inherited)); err != nil {
				return err
			}
			flags, ok := modes[s.mode]
			if !ok {
				return fmt.Errorf("--mode is read, write, read-write or append, and not %q", s.mode)
			}
			return s.within(func(ctx context.Context) error {
				fds, err := openFiles(args[1:], s.inherited, flags)
				if err != nil {
					return err
				}
				c, err := s.meet(ctx, args[0])
				if err != nil {
					return err
				}
				return s.send(ctx, c, format, payload, fds)
			})
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&s.wait, "listen", false, "make the socket, and wait for the other side")
	f.IntSliceVar(&s.inherited, "fd", nil, "pass the inherited descriptor `N`, too")
	f.StringVar(&s.payload, "payload", "", "the bytes beside the descriptors (one 0 byte), or what the format leaves to the sender")
	f.StringVar(&s.hex, "hex", "", "the same, as hexadecimal digits")
	f.StringVar(&s.mode, "mode", "read", "open the files to read, write, read-write or append")
	cmd.MarkFlagsMutuallyExclusive("payload", "hex")
	return cmd
}

// bytes are the payload, or the text of a format.
func (s *sending) bytes(cmd *cobra.Command, files []string) (string, error) {
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

// namesFile reports whether the payload of a format is the name of its file.
func namesFile(format string) bool { return format == wire.Runc.Name() || format == wire.Conmon.Name() }

// refused returns an error if the message cannot be sent to any receiver: it has too many files,
// or a text that the format does not allow.
func (s *sending) refused(format wire.Format, payload string, files int) error {
	var refused *wire.FormatError
	switch {
	case format != nil:
		if err := format.Send(wire.FD(-1), payload, make([]int, files)...); errors.As(err, &refused) { // -1 is no socket
			return err
		}
	case payload == "" && s.network == "unix":
		return errors.New("a stream carries nothing without a byte: the payload is empty")
	case files > scm.MaxFDs:
		return fmt.Errorf("%d files: a message has %d at most", files, scm.MaxFDs)
	}
	return nil
}

// send sends the message. Nothing closes the connection but a signal, --timeout and the end of scm.
func (s *sending) send(ctx context.Context, c *scm.Conn, format wire.Format, payload string, fds []int) error {
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
