package scmflags

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func discarded(sock int, p, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, _, _, _, err := unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC) // want `nothing reads the flags of this receive, so the loss of descriptors \(MSG_CTRUNC\) goes unnoticed`
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

func discardedByOthers(sock int, conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)        // want `nothing reads the flags`
	_, _, _, _, err = syscall.Recvmsg(sock, p, oob, 0) // want `nothing reads the flags`
	_, _, _, _, err = net.Conn(conn).(interface {      // want `nothing reads the flags`
		ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
	}).ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

func read(sock int, p, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, _, flags, _, err := unix.RecvmsgBuffers(sock, [][]byte{p}, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(m)
	if flags&unix.MSG_CTRUNC != 0 {
		closeAll(fds)
		return nil, errors.New("truncated")
	}
	return fds, err
}

func exactCount(conn *net.UnixConn, p, oob []byte, want int, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(m)
	if len(fds) != want {
		closeAll(fds)
	}
	return err
}

func exactTotal(conn *net.UnixConn, p, oob []byte, want int, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(m)
	var all []int
	all = append(all, fds...)
	if want != len(all) {
		closeAll(all)
	}
	return err
}

func onlyZero(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(m)
	if len(fds) == 0 {
		return errors.New("no descriptor")
	}
	use(fds...)
	closeAll(fds)
	return err
}

func withoutControlData(conn *net.UnixConn, p []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, nil)
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

// The caller may check the count.
func returned(conn *net.UnixConn, p, oob []byte) (n, oobn int, err error) {
	n, oobn, _, _, err = conn.ReadMsgUnix(p, oob)
	return n, oobn, err
}

func closeAll([]int)

func use(...int)

type other struct{}

func (other) ReadMsgUnix(p, oob []byte) (n int, err error)

func byOther(conn other, p, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

// A loss is an error here: the only descriptor is missing.
func first(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) (int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	return fds[0], nil
}

func invalid(conn *net.UnixConn, p, oob []byte, messages []unix.SocketControlMessage) (int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return -1, err
	}
	fd := -1
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			fd = fds[0]
		}
	}
	if fd == -1 {
		return -1, errors.New("no descriptor")
	}
	return fd, nil
}

func full(conn *net.UnixConn, p []byte, m *unix.SocketControlMessage) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(8))
	_, oobn, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	if oobn != len(oob) {
		return nil, errors.New("bad message")
	}
	return unix.ParseUnixRights(m)
}

func wrongLength(conn *net.UnixConn, p, oob []byte, want int, m *unix.SocketControlMessage) ([]int, error) {
	_, oobn, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil || oobn != want {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

// A wrapper's caller has the descriptors.
func wrapper(conn *net.UnixConn, oob []byte) (oobn int, err error) {
	_, oobn, _, _, err = conn.ReadMsgUnix(nil, oob) // want `nothing reads the flags`
	return oobn, err
}

func caller(conn *net.UnixConn, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	if _, err := wrapper(conn, oob); err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(m)
}

// The buffer is a field.
type reader struct {
	conn *net.UnixConn
	oob  []byte
}

func (r *reader) read() (n int, err error) {
	n, _, _, _, err = r.conn.ReadMsgUnix(nil, r.oob) // want `nothing reads the flags`
	return n, err
}

func (r *reader) rights() ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(r.oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}

func three(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) ([]int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(m)
	if len(fds) != 3 {
		closeAll(fds)
		return nil, err
	}
	return fds, nil
}

// The loop takes however many there are.
func loop(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(m)
	for i := 0; i < len(fds); i++ {
		use(fds[i])
		unix.Close(fds[i])
	}
	return err
}

// What is lost is closed already.
func drain(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	fds, _ := unix.ParseUnixRights(m)
	for i := range fds {
		unix.Close(fds[i])
	}
	return err
}

func drainWithHelper(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	closeRights(m)
	return err
}

func closeRights(m *unix.SocketControlMessage) {
	var fds []int
	if fds, _ = unix.ParseUnixRights(m); len(fds) > 0 {
		closeAll(fds)
	}
}

func drainLater(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) (fds []int, err error) {
	_, _, _, _, err = conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if fds, err = unix.ParseUnixRights(m); err != nil {
		closeAll(fds)
	}
	return
}

// The others are closed.
func extras(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) (int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) == 0 {
		closeAll(fds)
		return -1, err
	}
	for _, extra := range fds[1:] {
		unix.Close(extra)
	}
	return fds[0], nil
}

func extrasByIndex(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) (int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) < 1 {
		return -1, err
	}
	for i := 1; i < len(fds); i++ {
		unix.Close(fds[i])
	}
	closeAll(fds[1:])
	return fds[0], nil
}

// The others are used.
func extrasUsed(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage, use func(int)) (int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) < 1 {
		return -1, err
	}
	for _, extra := range fds[1:] {
		use(extra)
		unix.Close(extra)
	}
	return fds[0], nil
}

// Another name for the type.
type header = unix.SocketControlMessage

func parse(m *header) ([]int, error) { return unix.ParseUnixRights(m) }

func aliased(conn *net.UnixConn, p, oob []byte, m *header) ([]int, error) {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return nil, err
	}
	return parse(m)
}

// A buffer with only zeros is an error, but CmsgSpace(4) bytes have space for two descriptors, and may lose a third.
func zeros(conn *net.UnixConn, p []byte) ([]int, error) {
	oob := make([]byte, unix.CmsgLen(4))
	_, _, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}

func firstOfTwo(conn *net.UnixConn, p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
