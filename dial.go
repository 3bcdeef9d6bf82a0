package scm

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Dial connects to a Unix socket, as [net.Dialer] does. network is "unix" (a stream), "unixgram" or
// "unixpacket". addr is a path or, on Linux, an abstract name: "@" or a 0 byte, followed by up to 107
// bytes. While the listener's queue is full, Dial retries until ctx is done. The caller must close the
// Conn.
func Dial(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.Dial(ctx, network, addr)
}

// Dial is [Dial] with config.
func (config Config) Dial(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	c, err := config.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: unixAddr(network, addr), Err: cause(err)}
	}
	return c, nil
}

func (config Config) dial(ctx context.Context, network, addr string) (*Conn, error) {
	if err := checkNetwork(network, "unix", "unixgram", "unixpacket"); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err // before the server accepts a connection
	}
	name, err := shorten(addr)
	if err != nil {
		return nil, err
	}
	defer name.close()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return config.prepare(raw, 0) }}
	var c net.Conn
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		c, err = d.DialContext(ctx, network, name.text)
		if err == nil {
			break
		}
		// The poller does not report when the queue has space again.
		if !sys.Again(err) {
			return nil, name.explain(err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	conn, err := config.newConn(c.(*net.UnixConn))
	if err != nil {
		_ = c.Close()
	}
	return conn, err
}

// prepare applies config to a new socket before it is bound or connected.
func (config Config) prepare(raw syscall.RawConn, mode uint32) error {
	return sys.Control(raw, func(fd int) (err error) {
		if config.NoFiles {
			err = PassRights(fd, false)
		}
		if err == nil && mode != 0 {
			err = sys.Restrict(fd, mode)
		}
		return err
	})
}
