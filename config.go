package scm

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

var (
	// ErrNotUnix is returned for what is no AF_UNIX socket. Over TCP the
	// kernel would report success and drop the descriptors.
	ErrNotUnix = sys.ErrNotUnix

	// ErrBlocking is returned for a socket in blocking mode, which the
	// runtime's poller cannot wait for. The mode belongs to the open file
	// description, which others may share: it is changed only if
	// [Config].SetNonblock says so.
	ErrBlocking = errors.New("scm: the socket is in blocking mode")
)

// Config has the options of a [Conn] or [Listener]. The functions that take no
// Config use the zero value.
type Config struct {
	// SetNonblock sets O_NONBLOCK on a socket in blocking mode, where it
	// would be refused with ErrBlocking. That holds for everybody who has
	// the open file description: a passed socket's sender too.
	SetNonblock bool

	// KeepTruncated makes ReadFiles return the first files of a message beside
	// a [TruncatedError], up to the first that is missing, so that missing
	// descriptors do not end a conversation.
	KeepTruncated bool

	// NoFiles makes the kernel refuse descriptors that are sent to the socket:
	// see [PassRights]. Listen and ListenPacket set it before anyone can
	// connect. Where the system has no such option that is ErrUnsupported. Who else
	// has a passed socket can set the option again, and can make the call that sets it
	// here wait: see [PassCred].
	NoFiles bool

	// Mode is the permissions of the socket file that Listen and ListenPacket
	// make, whatever the umask; they hold before anyone can connect. To
	// connect takes permission to write. 0 leaves them to the umask. With an
	// abstract name it is EINVAL; for unixgram elsewhere than on Linux it is
	// ErrUnsupported.
	//
	// On Linux bind(2) makes the file with these permissions less those that the
	// umask takes, or a default ACL of the folder, and Listen adds what is missing by
	// chmod(2). That changes the file of the new socket and no other: in a folder in
	// which others can rename the file, or to which a path leads that others can
	// change, Listen asks the kernel for the socket's file (sock_diag(7)), and where
	// the kernel does not answer the error is EPERM. User 65534 always asks: a user
	// namespace shows strangers' files as this user's.
	Mode fs.FileMode

	// Check is called by a Listener for each connection. One for which it
	// returns an error is closed, and Accept goes on to the next. It may read
	// and write, but this call of Accept accepts no other connection meanwhile.
	// Set a deadline on the Conn before you read from it: a Check that waits for
	// a partner that sends nothing ends by nothing else, not by Close of the
	// Listener.
	//
	// A refused client that has sent a socket with SO_LINGER holds up its own
	// close(2), and for that time a thread; Accept goes on after some
	// milliseconds. At most 100 threads do that. Refused connections beyond them
	// stay open until one is free. NoFiles prevents it.
	Check func(*Conn) error
}

// NewConn makes a Conn of a duplicate (F_DUPFD_CLOEXEC) of c's socket: that of a
// [net.UnixConn], an [os.File], another Conn. c stays open and the caller's,
// whether the call succeeds or fails. Both have the same open file description.
//
// Errors are [ErrNotUnix], [ErrBlocking], [os.ErrInvalid] for a c that has no descriptor
// or is nil: the interface, an *os.File, *Conn or *Listener; a nil *net.UnixConn panics,
// [os.ErrClosed], [os.ErrNoDeadline] for a socket that the runtime's poller refused
// without a reason, or wrap the errno, such as EMFILE.
func NewConn(c syscall.Conn) (*Conn, error) { return Config{}.NewConn(c) }

// NewConnFD makes a Conn of the socket fd, and takes it over: on success fd is
// closed, and the Conn has another descriptor for the same open file description,
// which is close-on-exec. On error fd stays open and the caller's. Errors are those
// of NewConn. After [os.ErrNoDeadline] O_NONBLOCK and SO_PASSRIGHTS are as the
// [Config] wants them; after other errors nothing has changed.
func NewConnFD(fd int) (*Conn, error) { return Config{}.NewConnFD(fd) }

// NewConn is [NewConn] with config.
func (config Config) NewConn(c syscall.Conn) (*Conn, error) {
	raw, err := rawConn(c)
	if err != nil {
		return nil, opError("conn", err)
	}
	var conn *Conn
	err = control(raw, func(fd int) error {
		conn, err = config.duplicate(fd)
		return err
	})
	if err != nil {
		return nil, opError("conn", err)
	}
	return conn, nil
}

// NewConnFD is [NewConnFD] with config.
func (config Config) NewConnFD(fd int) (*Conn, error) {
	conn, err := config.duplicate(int(number(fd)))
	if err != nil {
		return nil, opError("conn", err)
	}
	sys.Close(fd)
	return conn, nil
}

// duplicate makes a Conn of another number for fd's open file description.
func (config Config) duplicate(fd int) (*Conn, error) {
	if _, err := sys.Network(fd); err != nil {
		return nil, err
	}
	own, err := sys.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return config.take(own, nil)
}

// prepareNew prepares a descriptor and returns its network, or closes it and removes its socket
// file.
func (config Config) prepareNew(fd int, bound *boundFile) (network string, err error) {
	if network, err = sys.Network(fd); err == nil {
		err = config.prepare(fd)
	}
	if err != nil {
		_ = bound.remove()
		sys.Close(fd)
	}
	return network, err
}

// take makes a Conn of a number, which is then the Conn's, or closed. bound is its
// socket file, if we made it.
func (config Config) take(fd int, bound *boundFile) (*Conn, error) {
	network, err := config.prepareNew(fd, bound)
	if err != nil {
		return nil, err
	}
	c := &Conn{polled: polled{bound: bound}, network: network, config: config}
	c.local, c.remote = socketNames(fd, network)
	if err := c.open(fd, network); err != nil {
		return nil, err
	}
	c.receiving.init(c.raw.Read, c.file.SetReadDeadline)
	c.sending.init(c.raw.Write, c.file.SetWriteDeadline)
	return c, nil
}

// prepare does what config says with a socket. What others would see too it does
// when nothing but the poller can refuse any more.
func (config Config) prepare(fd int) error {
	blocks, err := config.blocks(fd)
	if err == nil {
		err = sys.StartPoller()
	}
	if err == nil && config.NoFiles {
		err = PassRights(fd, false)
	}
	if err == nil && blocks {
		err = sys.SetNonblock(fd, true)
	}
	return err
}

// blocks reports whether a socket is in blocking mode, where that is to be changed.
func (config Config) blocks(fd int) (bool, error) {
	nonblock, err := sys.Nonblock(fd)
	if err == nil && !nonblock && !config.SetNonblock {
		err = ErrBlocking
	}
	return !nonblock, err
}
