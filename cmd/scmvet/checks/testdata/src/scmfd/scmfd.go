package scmfd

import (
	"net"
	"os"
	"syscall"
)

func send(conn *net.UnixConn, rights []byte) error {
	f, err := conn.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return syscall.Sendmsg(int(f.Fd()), nil, rights, nil, 0) // want `Fd clears O_NONBLOCK, so conn blocks a thread and ignores its deadlines from here on`
}

func listener(l net.Listener) (int, error) {
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return -1, err
	}
	return int(f.Fd()), nil // want `so l blocks a thread`
}

func usedBeforeClose(conn *net.UnixConn, p []byte) (int, error) {
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return -1, err
	}
	use(int(f.Fd())) // want `so conn blocks a thread`
	return conn.Read(p)
}

func closedByOtherName(conn net.Conn) (int, error) {
	defer conn.Close()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return -1, net.ErrClosed
	}
	f, err := tcp.File()
	if err != nil {
		return -1, err
	}
	return use(int(f.Fd())), nil
}

func restored(conn *net.UnixConn) error {
	f, err := conn.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return syscall.SetNonblock(int(f.Fd()), true)
}

// The flag does not matter for most files.
func file(f *os.File) int { return use(int(f.Fd())) }

func child(l *net.TCPListener) ([]*os.File, error) {
	f, err := l.File()
	return []*os.File{f}, err
}

func use(fd int) int

func byCaller(conn *net.UnixConn) (int, error) {
	f, err := conn.File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return use(int(f.Fd())), nil
}

func caller(conn *net.UnixConn) (int, error) {
	defer conn.Close()
	return byCaller(conn)
}

func byOpenCaller(conn *net.UnixConn) (int, error) {
	f, err := conn.File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return use(int(f.Fd())), nil // want `so conn blocks a thread`
}

func openCaller(conn *net.UnixConn, p []byte) (int, error) {
	defer conn.Close()
	if _, err := byOpenCaller(conn); err != nil {
		return -1, err
	}
	return conn.Read(p)
}
