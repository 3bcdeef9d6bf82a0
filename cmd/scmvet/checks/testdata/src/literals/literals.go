// Package literals has its code outside of functions with a name.
package literals

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

type command struct {
	run func(conn *net.UnixConn, p []byte) error
}

var duplicate, _ = unix.FcntlInt(1, unix.F_DUPFD, 3) // want `without F_DUPFD_CLOEXEC`

var command1 = &command{
	run: func(conn *net.UnixConn, p []byte) error {
		oob := make([]byte, 64)
		n, oobn, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
		if err != nil {
			return err
		}
		if n < 4 || oobn == 0 {
			return net.ErrClosed // want `this return leaks the descriptors from line 20`
		}
		messages, err := unix.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed`
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			return net.ErrClosed
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		for i := range fds {
			unix.Close(i) // want `this closes the index i`
		}
		return err // want `this return leaks`
	},
}

// Each literal is a function.
var command2 = &command{
	run: func(conn *net.UnixConn, p []byte) error {
		oob := make([]byte, 64)
		_, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
		if err != nil || flags != 0 {
			return err // want `this return leaks`
		}
		return use(unix.ParseSocketControlMessage(oob[:oobn]))
	},
}

var files = map[string]func(*net.UnixConn) (int, error){
	"fd": func(conn *net.UnixConn) (int, error) {
		f, err := conn.File()
		if err != nil {
			return -1, err
		}
		return int(f.Fd()), nil // want `so conn blocks a thread`
	},
}

var take = func(m *unix.SocketControlMessage) (file *os.File) {
	fds, _ := unix.ParseUnixRights(m)
	for _, fd := range fds {
		file = os.NewFile(uintptr(fd), "") // want `os.NewFile polls`
	}
	return file
}

func use([]unix.SocketControlMessage, error) error
