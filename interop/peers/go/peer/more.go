//go:build linux

package peer

// A Case is what a peer has in hand while a case is played, for a library that
// answers more than the contract asks: see Library.More.
type Case struct{ p *peer }

// Sock is the socket of the case, or -1 when it is closed.
func (c Case) Sock() int {
	if !c.p.held[c.p.sock] {
		return -1
	}
	return c.p.sock
}

// Hold makes the numbers the peer's, to be closed as those that it received are.
func (c Case) Hold(fds ...int) { c.p.hold(fds...) }

// Payload reads the buffers of payload=, whose pattern begins at byte at.
func Payload(text string, at int) ([][]byte, error) { return payload(text, at) }

// Buffers makes the buffers of bytes=.
func Buffers(text string) ([][]byte, error) { return room(text) }

// FormatPayload writes what was received, compared with the pattern from byte at.
func FormatPayload(p []byte, at int) string { return formatPayload(p, at) }

// FormatNumbers writes a list of descriptors.
func FormatNumbers(fds []int) string { return formatFDs(Received{FDs: fds}) }

// FormatFlags writes what recvmsg(2) returned in msg_flags.
func FormatFlags(flags int) string { return formatFlags(flags) }

// FormatError writes the answer that a failed call has.
func FormatError(err error) string { return formatError(err) }
