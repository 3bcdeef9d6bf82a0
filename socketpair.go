package scm

import "github.com/scm-rights/scm/internal/sys"

// Pair makes two Conns that are connected to each other, by socketpair(2).
// network is "unix" for a stream, "unixgram" or "unixpacket". Both are
// close-on-exec: to give an end to a child process, send it or put a duplicate
// into [os/exec.Cmd].ExtraFiles. The child finds it non-blocking, unless
// [SetNonblock] has changed that.
//
// Errors are [net.UnknownNetworkError], or wrap the errno: EMFILE, …
func Pair(network string) (a, b *Conn, err error) { return Config{}.Pair(network) }

// Pair is [Pair] with config.
func (config Config) Pair(network string) (a, b *Conn, err error) {
	x, y, err := sys.Pair(network, true)
	if err != nil {
		return nil, nil, opError("pair", err)
	}
	a, err = config.take(x, nil)
	if err != nil {
		sys.Close(y)
		return nil, nil, opError("pair", err)
	}
	b, err = config.take(y, nil)
	if err != nil {
		_ = a.Close()
		return nil, nil, opError("pair", err)
	}
	return a, b, nil
}
