package scmleak

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

var errBad = errors.New("bad message")

func tooLong(conn *net.UnixConn) ([]int, error) {
	p, oob := make([]byte, 10), make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	if n == 0 || oobn == 0 {
		return nil, errors.New("end of file")
	}
	if n >= len(p) || oobn != unix.CmsgSpace(4) {
		return nil, errBad // want `this return leaks the descriptors from line 17`
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, errBad // want `this return leaks the descriptors from line 17`
	}
	return rights(oob[:oobn])
}

func truncated(sock int) ([]int, error) {
	var oob [64]byte
	_, oobn, flags, _, err := unix.Recvmsg(sock, nil, oob[:], unix.MSG_CMSG_CLOEXEC)
	switch {
	case err == unix.EINTR:
		return nil, nil
	case err != nil || oobn < 1:
		return nil, err
	case flags&unix.MSG_CTRUNC != 0:
		return nil, errBad // want `this return leaks the descriptors from line 35`
	}
	return rights(oob[:oobn])
}

func tooMany(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errBad // never true if there are descriptors
	}
	message := messages[0]
	fds, err := unix.ParseUnixRights(&message)
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("got %v", fds) // want `this return leaks the descriptors from line 56`
	}
	return os.NewFile(uintptr(fds[0]), ""), nil
}

func wanted(message *unix.SocketControlMessage, count int) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	if len(fds) != count {
		return nil, errBad // want `this return leaks the descriptors from line 67`
	}
	return fds, nil
}

func appended(messages []unix.SocketControlMessage, bad bool) ([]int, error) {
	var all []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, err // want `this return leaks the descriptors from line 80`
		} else if len(fds) > 2 {
			return nil, errBad // want `this return leaks the descriptors from line 80`
		}
		all = append(all, fds...)
	}
	if bad {
		return nil, fmt.Errorf("%d descriptors", len(all)) // want `this return leaks the descriptors from line 80`
	}
	return all, nil
}

func deferred(message *unix.SocketControlMessage) error {
	var fds []int
	defer func() { closeAll(fds) }()
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	return errBad
}

func loop(conn *net.UnixConn) (files []*os.File, err error) {
	oob := make([]byte, 64)
	_, oobn, flags, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := 0; i < len(messages) && err == nil; i++ {
		var fds []int
		fds, err = unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), ""))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return files, errBad
	}
	return files, err
}

func panics(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if errors.Is(err, os.ErrClosed) {
		return nil, nil
	}
	if err != nil {
		panic(err)
	}
	if n > 5 {
		test.Fatalf("too long")
	}
	return rights(oob[:oobn])
}

// The caller has the buffer.
func buffer(conn *net.UnixConn, oob []byte) (int, error) {
	_, oobn, flags, _, err := conn.ReadMsgUnix(nil, oob)
	if flags&unix.MSG_CTRUNC != 0 {
		return oobn, errBad
	}
	return oobn, err
}

func captured(raw interface {
	Read(func(uintptr) bool) error
}) ([]int, error) {
	oob := make([]byte, 64)
	var oobn int
	err := raw.Read(func(fd uintptr) bool {
		var flags int
		var err error
		_, oobn, flags, _, err = unix.Recvmsg(int(fd), nil, oob, 0)
		return err == nil && flags == 0
	})
	if err != nil {
		return nil, err
	}
	return rights(oob[:oobn])
}

func literal(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	bad := func() error { return errBad }
	closeAll(fds)
	return bad()
}

func laterError(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat("file")
	if err != nil {
		return nil, err // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

// The length differs only if there is no descriptor.
func one(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	if oobn != unix.CmsgSpace(4) {
		return nil, errBad
	}
	return rights(oob[:oobn])
}

func switchError(conn *net.UnixConn, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(p, oob)
	switch err {
	case nil:
	case unix.EAGAIN:
		return nil, nil
	default:
		return nil, err
	}
	if n > 5 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return rights(oob[:oobn])
}

func timeout(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, 64)
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return rights(oob[:oobn])
}

func wrapped(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, 64)
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	err = os.NewSyscallError("recvmsg", err)
	if err != nil {
		return nil, err
	}
	return rights(oob[:oobn])
}

func rights([]byte) ([]int, error)

func closeAll([]int)

var test interface{ Fatalf(string) }

// The control data is never longer than the buffer.
func longer(conn *net.UnixConn) ([]int, error) {
	p, oob := make([]byte, 10), make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	if oobn > len(oob) || n > 10 {
		return nil, errBad
	}
	return rights(oob[:oobn])
}

func continues(conn *net.UnixConn) error {
	oob := make([]byte, 64)
	for {
		_, oobn, flags, _, err := conn.ReadMsgUnix(nil, oob)
		if err != nil {
			return err
		}
		if flags&unix.MSG_CTRUNC != 0 {
			continue // want `this continue leaks the descriptors from line \d+`
		}
		if fds, err := rights(oob[:oobn]); err == nil {
			closeAll(fds)
		}
	}
}

func kept(messages []unix.SocketControlMessage) (all []int) {
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		all = append(all, fds...)
		if len(fds) == 1 {
			continue
		}
		fmt.Println(fds)
	}
	return all
}

// The other descriptors of the list stay open.
func rest(message *unix.SocketControlMessage) (files []*os.File, err error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		if f == nil {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		if i == 0 && fd == 0 {
			closeAll(fds)
			return nil, errBad
		}
		files = append(files, f)
	}
	return files, nil
}

func unused(message *unix.SocketControlMessage) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return
	}
	fmt.Println(fds)
} // want `this end of the function leaks the descriptors from line \d+`

func mapped(message *unix.SocketControlMessage) ([]byte, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil || len(fds) != 1 {
		return nil, err // want `this return leaks the descriptors from line \d+`
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err // want `this return leaks the descriptors from line \d+`
	}
	unix.Close(fds[0])
	return nil, nil
}

// The buffer is a field. The caller does not look at it after an error.
type reader struct {
	conn *net.UnixConn
	oob  []byte
	n    int
}

func (r *reader) read() (n, oobn int, err error) {
	n, oobn, flags, _, err := r.conn.ReadMsgUnix(nil, r.oob)
	if err != nil {
		return 0, 0, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return 0, 0, errBad // want `this return leaks the descriptors from line \d+`
	}
	return n, oobn, nil
}

func deferredLater(messages []unix.SocketControlMessage) (err error) {
	var all []int
	defer func() { closeAll(all) }()
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		all = append(all, fds...)
	}
	return errBad
}

// A received descriptor is positive, and a struct that the function made has it.
type event struct {
	fd  int
	err error
}

func one1(message *unix.SocketControlMessage) (fd int, err error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	if len(fds) > 1 {
		closeAll(fds)
		return -1, errBad
	}
	return fds[0], nil
}

func positive(message *unix.SocketControlMessage, handle func(event)) error {
	var ev event
	ev.fd, ev.err = one1(message)
	handle(ev)
	fd, err := one1(message)
	if err != nil {
		return err
	}
	if fd <= 0 {
		return errBad
	}
	closeAll([]int{fd})
	return nil
}

// Each check leaves counts for which the next return leaks.
func counted(conn *net.UnixConn, p []byte) ([]int, error) {
	oob := make([]byte, 64)
	n, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	if n != 8 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if oobn != 32 {
		return nil, errBad // the usual reason is that there are none
	}
	if flags != 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return rights(oob[:oobn])
}

func countedRights(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	switch len(fds) {
	case 3:
	case 0, -1:
		return nil, errBad
	default:
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if fds[0] == 5 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if len(fds) != 3 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if fds[1] == 5 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

// Credentials are a message of their own.
func credentials(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(16)+unix.CmsgSpace(unix.SizeofUcred))
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return unix.ParseUnixRights(&messages[0])
}

// The buffer takes one descriptor.
func exactlyOne(conn *net.UnixConn) ([]int, error) {
	oob := make([]byte, unix.CmsgLen(4))
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, err
	}
	return fds, nil
}

// After the first iteration, the variable declared before the loop has descriptors.
func rounds(messages []unix.SocketControlMessage, stop func() bool) ([]int, error) {
	var all []int
	for _, m := range messages {
		if stop() {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		fds, err := one1(&m)
		if err != nil {
			return nil, err // want `this return leaks the descriptors from line \d+`
		}
		if all = append(all, fds); len(all) == 1 {
			continue
		}
	}
	return all, nil
}

func broken(messages []unix.SocketControlMessage) ([]int, error) {
	var all []int
	for _, m := range messages {
		fds, err := one1(&m)
		if err != nil {
			break
		}
		all = append(all, fds)
	}
	if len(all) == 0 {
		return nil, errBad
	}
	if len(all) < 5 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return all, nil
}

// The parser returns no error for these messages, and the loop closes the descriptors before it returns another one.
func closedRounds(messages []unix.SocketControlMessage, stop func() bool) ([]int, error) {
	var all []int
	for _, m := range messages {
		if stop() {
			closeAll(all)
			return nil, errBad
		}
		if m.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		all = append(all, fds...)
	}
	return all, nil
}

// Others have the descriptors: the partner, or the caller.
func logSent(conn *net.UnixConn, oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			fmt.Println("descriptors", fds)
		}
	}
	logRights(oob)
	_, _, err = conn.WriteMsgUnix(nil, oob, nil)
	return err
}

func logReceived(conn *net.UnixConn, p, oob []byte) (n, oobn int, err error) {
	n, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return 0, 0, err
	}
	logRights(oob[:oobn])
	fmt.Println(flags)
	return n, oobn, nil
}

func logReturned(conn *net.UnixConn) ([]byte, error) {
	oob := make([]byte, 64)
	_, oobn, flags, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	fmt.Println(flags, len(messages), err)
	return oob[:oobn], nil
}

func logRights(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return
	}
	if fds, err := unix.ParseUnixRights(&messages[0]); err == nil {
		fmt.Println("descriptors", fds)
	}
}

// An Internet socket carries no descriptors.
func internet(conn *net.UDPConn) error {
	oob := make([]byte, 64)
	_, oobn, _, _, err := conn.ReadMsgUDP(nil, oob)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	fmt.Println(len(messages))
	return err
}

// Other spellings of the types.
type (
	failure = error
	number  int
	header  = unix.SocketControlMessage
	value   = any
)

func look(fd number) bool { return unix.SetNonblock(int(fd), true) == nil }

func logAll(args ...value) {}

func spelled(m *header) (fd int, err failure) {
	fds, err := unix.ParseUnixRights(m)
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	logAll(fds)
	if !look(number(fds[0])) {
		return -1, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds[0], nil
}

// The body of a loop over descriptors runs at least once, and returns.
func first(message *unix.SocketControlMessage, bad bool) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i, fd := range fds {
		closeAll(fds[i+1:])
		if bad {
			unix.Close(fd)
			return -1, errBad
		}
		return fd, nil
	}
	return -1, errBad
}

func firstIndex(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i := 0; i < len(fds); i++ {
		closeAll(fds[i+1:])
		return fds[i], nil
	}
	return -1, errBad
}

func firstNumber(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i := range len(fds) {
		closeAll(fds[i+1:])
		return fds[i], nil
	}
	return -1, errBad
}

func backwards(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i := len(fds) - 1; i >= 0; i-- {
		closeAll(fds)
		return -1, errBad
	}
	return -1, errBad
}

// Each iteration but the last closes a descriptor.
func last(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i := 0; i < 5; i++ {
		if i < len(fds)-1 {
			unix.Close(fds[i])
			continue
		}
		return fds[i], nil
	}
	return -1, errBad
}

// The body of a loop from the second descriptor on may never run.
func fromSecond(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for i := 1; i < len(fds); i++ {
		closeAll(fds)
		return -1, errBad
	}
	for range fds[1:] {
		closeAll(fds)
		return -1, errBad
	}
	return -1, errBad // want `this return leaks the descriptors from line \d+`
}

// The loop closes some descriptors, and the next return leaks the others.
func filtered(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	var kept []int
	for i, fd := range fds {
		if i == 3 {
			unix.Close(fd)
			continue
		}
		kept = append(kept, fd)
	}
	return nil, errBad // want `this return leaks the descriptors from line \d+`
}

// The loop may stop.
func stopped(message *unix.SocketControlMessage, stop bool) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for range fds {
		if stop {
			break
		}
		closeAll(fds)
		return nil
	}
	return errBad // want `this return leaks the descriptors from line \d+`
}

// Messages of other types are not the one with the descriptors.
func ofType(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Type == unix.SCM_CREDENTIALS {
			continue
		}
		return unix.ParseUnixRights(&m)
	}
	return nil, errBad
}

// Only the continue leaks.
func unwanted(messages []unix.SocketControlMessage, count int) ([]int, error) {
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, err
		}
		if len(fds) != count {
			continue // want `this continue leaks the descriptors from line \d+`
		}
		return fds, nil
	}
	return nil, errBad
}

// The count is in a variable or a field.
func numbered(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := len(fds)
	if n == 0 {
		return nil, errBad
	}
	if n > 2 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if n = 0; n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func (r *reader) number(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	if r.n = len(fds); r.n == 0 {
		return nil, errBad
	}
	return fds, nil
}

// The literal sets the count of the struct, but not that of the other one.
func inLiteral(message *unix.SocketControlMessage, other reader) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	r := reader{n: len(fds)}
	if r.n == 0 {
		return nil, errBad
	}
	if other.n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

// Each round sets or adds to the count, and the last loop changes it only after the comparison.
func added(messages []unix.SocketControlMessage) (all []int, err error) {
	n, sum := 0, 0
	var list []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		list = append(list, fds...)
		n = len(list)
		sum += len(fds)
	}
	if n == 0 || sum == 0 {
		return nil, errBad
	}
	for n > 0 {
		n--
		unix.Close(list[n])
	}
	return nil, nil
}

// The variable or field is not the count, or no longer.
func decremented(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := len(fds)
	n--
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func sometimes(message *unix.SocketControlMessage, is bool) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := 0
	if is {
		n = len(fds)
	}
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func ofOther(message *unix.SocketControlMessage, r, other *reader) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	r.n = len(fds)
	if other.n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	if r = other; r.n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func countedDown(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := len(fds)
	for ; n > 0; n-- {
	}
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func subtracted(message *unix.SocketControlMessage, n int) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n -= len(fds)
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func inNextRound(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	for n := len(fds); ; {
		if n == 0 {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		n--
	}
}

func setElsewhere(message *unix.SocketControlMessage, set func(*int)) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := len(fds)
	set(&n)
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func index(message *unix.SocketControlMessage) ([]int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	n := len(fds)
	for n = range fds {
	}
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return fds, nil
}

func former(message *unix.SocketControlMessage) (fds []int, err error) {
	var list []int
	n := len(list)
	if list, err = unix.ParseUnixRights(message); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return list, nil
}

func appendedTo(messages []unix.SocketControlMessage, all []int) ([]int, error) {
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	var list []int
	n := len(list)
	list = append(list, fds...)
	if n == 0 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return list, nil
}

func sized(conn *net.UnixConn, p []byte) ([]int, error) {
	size := len(p)
	oob := make([]byte, size)
	_, oobn, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return nil, err
	}
	if oobn > size {
		return nil, errBad
	}
	return rights(oob[:oobn])
}

// The rest of the list stays open, unless the return is in the last iteration, or the buffer takes only one descriptor.
func forgotten(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	for _, fd := range fds {
		return fd, nil // want `this return leaks the descriptors from line \d+`
	}
	return -1, errBad
}

func inLastRound(message *unix.SocketControlMessage, bad bool) (files []*os.File, err error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		if files = append(files, os.NewFile(uintptr(fd), "")); len(files) == len(fds) {
			return files, nil
		}
		if bad {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
	}
	return nil, errBad
}

func counting(message *unix.SocketControlMessage) (files []*os.File, err error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil, err
	}
	left := len(fds)
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), ""))
		if left--; left == 0 {
			return files, nil
		}
	}
	return nil, errBad
}

func theOnly(conn *net.UnixConn) (int, error) {
	oob := make([]byte, unix.CmsgLen(4))
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	for _, fd := range fds {
		return fd, nil
	}
	return -1, errBad
}

// A range over the result of a call passes the descriptors on, unless the call only looks at them.
func sequence(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for fd := range slices.Values(fds) {
		unix.Close(fd)
	}
	return errBad
}

func sequenceInRest(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for i, fd := range fds {
		if fd == 5 {
			for _, other := range slices.Backward(fds[i:]) {
				unix.Close(other)
			}
			return errBad
		}
		unix.Close(fd)
	}
	return nil
}

func sequenceOfOthers(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for i := range indexes(fds) {
		fmt.Println(i)
	}
	return errBad // want `this return leaks the descriptors from line \d+`
}

func indexes(fds []int) []int { return make([]int, len(fds)) }

// The condition counts the list, so the body runs.
func while(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, err
	}
	var i int
	for i < len(fds) {
		closeAll(fds[i+1:])
		return fds[i], nil
	}
	return -1, errBad
}

func whileNoError(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	for i, n := 0, len(fds); err == nil && i < n; i++ {
		closeAll(fds[i+1:])
		return fds[i], nil
	}
	return -1, errBad
}

// The condition does not count the list, so the body may not run.
func whileOther(message *unix.SocketControlMessage, other []int) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for len(other) > 0 {
		closeAll(fds)
		return nil
	}
	return errBad // want `this return leaks the descriptors from line \d+`
}

// The last statement of a loop, a case and the guard of a type switch may close the descriptors.
func post(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for i := 0; i < len(fds); i, _ = i+1, unix.Close(fds[i]) {
	}
	return errBad
}

func cases(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	switch {
	case released(fds) != nil:
		return errBad
	}
	return nil
}

func caseOfTag(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	switch errBad {
	case released(fds):
		return errBad
	}
	return nil
}

func guard(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	switch released(fds).(type) {
	case net.Error:
		return errBad
	}
	return nil
}

// A select evaluates the operands of all clauses, but sends only one of the values.
func selects(message *unix.SocketControlMessage, stop chan bool) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	select {
	case <-stop:
		return errBad
	case err := <-start(fds):
		return err
	}
}

func selectsSend(message *unix.SocketControlMessage, stop chan bool, errs chan<- error) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	select {
	case <-stop:
		return errBad
	case errs <- released(fds):
		return nil
	}
}

func sends(message *unix.SocketControlMessage, stop chan bool, lists chan<- []int) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	select {
	case <-stop:
		return errBad // want `this return leaks the descriptors from line \d+`
	case lists <- fds:
		return nil
	}
}

func start([]int) chan error

func released([]int) error

// The checks do not follow fallthrough and goto.
func fallsThrough(message *unix.SocketControlMessage, kind int) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	switch kind {
	case 1:
		fmt.Println("one")
		fallthrough
	case 2:
		closeAll(fds)
		return nil
	case 3:
		return errBad // want `this return leaks the descriptors from line \d+`
	default:
		return released(fds)
	}
	return errBad
}

func jumps(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	i := 0
next:
	if i < len(fds) {
		unix.Close(fds[i])
		i++
		goto next
	}
	return errBad
}

func jumpsBefore(message *unix.SocketControlMessage, bad bool) error {
	var fds []int
	var err error
	if bad {
		goto end
	}
	if fds, err = unix.ParseUnixRights(message); err != nil {
		return err
	}
	fmt.Println(fds)
end:
	return errBad // want `this return leaks the descriptors from line \d+`
}

// A map has the descriptors as its keys. To look one up passes nothing on.
func (s *set) add(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for _, fd := range fds {
		s.open[fd] = true
	}
	return errBad
}

func (s *set) count(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for _, fd := range fds {
		s.uses[fd]++
	}
	return errBad
}

func (s *set) has(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	if !s.open[fds[0]] || s.uses[fds[0]] == 0 {
		return errBad // want `this return leaks the descriptors from line \d+`
	}
	closeAll(fds)
	return nil
}

func keys(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for fd := range (fdSet{fds[0]: true}) {
		unix.Close(fd)
	}
	return errBad
}

type fdSet map[int]bool

// The loop sets a field.
func (s *set) setEach(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for _, s.fd = range fds {
		s.close()
	}
	return errBad
}

func (s *set) close() { unix.Close(s.fd) }

func (s *set) makeBits(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	s.list = make([]any, fds[0]/64+1)
	return errBad // want `this return leaks the descriptors from line \d+`
}

// A number computed from a descriptor has it.
func (s *set) addBit(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	for _, fd := range fds {
		s.bits |= 1 << fd
	}
	return errBad
}

type set struct {
	open fdSet
	uses map[int]int
	list []any
	bits uint64
	fd   int
}

// A function with any arguments is not always a log.
func (s *set) push(list ...any) { s.list = append(s.list, list...) }

func (s *set) log(format string, list ...any) { fmt.Printf(format, list...) }

func (s *set) pushAll(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	s.push("descriptors", fds)
	return errBad
}

func (s *set) logAll(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	s.log("%s: %v", "descriptors", fds)
	return errBad // want `this return leaks the descriptors from line \d+`
}

// A method of an interface may close any arguments.
func closeByMethod(c interface{ close(...any) }, message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	c.close(fds)
	return errBad
}

// A child may use a descriptor whose value is in its environment, but a text for a log or an error is only printed.
func inEnvironment(message *unix.SocketControlMessage, child *os.ProcAttr) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	child.Env = append(child.Env, fmt.Sprintf("FD=%d", fds[0]))
	_, err = os.StartProcess("child", nil, child)
	return err
}

func inText(message *unix.SocketControlMessage) error {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return err
	}
	text := fmt.Sprint("descriptors: ", fds)
	fmt.Println(text)
	return errors.New(fmt.Sprintf("got %d", fds)) // want `this return leaks the descriptors from line \d+`
}

// Only the first receive has a control buffer. After it got is not 0, so the last receive had none where got > 0, and
// no descriptor is left from an earlier one where got == 0.
func firstAlone(sock int, p []byte, stop func() bool) (all []int, err error) {
	space := make([]byte, 64)
	for got := 0; got < len(p); {
		var oob []byte
		if got == 0 {
			oob = space
		}
		n, oobn, flags, _, err := unix.Recvmsg(sock, p[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			return nil, err // want `this return leaks the descriptors from line \d+`
		}
		if stop() {
			closeAll(all)
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		if got > 0 {
			if flags != 0 {
				closeAll(all)
				return nil, errBad
			}
			got += n
			continue
		}
		got += n
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return nil, err
		}
		for i := range messages {
			fds, err := unix.ParseUnixRights(&messages[i])
			if err != nil {
				return nil, err // want `this return leaks the descriptors from line \d+`
			}
			all = append(all, fds...)
		}
	}
	return all, nil
}

// The second condition has no variable that decides whether there is a buffer.
func other(conn *net.UnixConn, oob []byte, first, last bool) ([]int, error) {
	if first || oob == nil {
		oob = make([]byte, 64)
	}
	_, oobn, _, _, err := conn.ReadMsgUnix(nil, oob)
	if err != nil {
		return nil, err
	}
	if last && len(oob) > 5 {
		return nil, errBad // want `this return leaks the descriptors from line \d+`
	}
	return rights(oob[:oobn])
}

// These variables may be 0 in any iteration.
func notLater(messages []unix.SocketControlMessage) (all []int, err error) {
	left, reset := 5, 1
	for _, m := range messages {
		var own int
		if left == 0 {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		if reset == 0 {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		if own == 0 {
			return nil, errBad // want `this return leaks the descriptors from line \d+`
		}
		left--
		own++
		if reset++; reset > 5 {
			reset = 0
		}
		fds, err := one1(&m)
		if err != nil {
			return all, err
		}
		all = append(all, fds)
	}
	return all, nil
}
