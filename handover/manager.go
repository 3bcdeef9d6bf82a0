package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/wire"
)

// A manager is the service manager that receives notifications at NOTIFY_SOCKET.
type manager struct {
	conn   dontWait
	unit   string // of this process, or ""
	logger *slog.Logger
	open   context.Context // done when the notifications that still wait are dropped
	drop   context.CancelFunc

	mu   sync.Mutex
	last <-chan struct{} // closed when the latest notification has been sent
}

// dialManager returns nil if there is no service manager, or if its socket cannot be reached. In the second case, Start
// does not fail, because the variable may have been inherited by accident.
func dialManager(ctx context.Context, logger *slog.Logger) *manager {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := scm.Dial(ctx, "unixgram", name)
	if err != nil {
		logger.Warn("handover: cannot reach the service manager", "err", err)
		return nil
	}
	sent := make(chan struct{})
	close(sent)
	m := &manager{conn: dontWait{conn}, unit: os.Getenv("INVOCATION_ID"), logger: logger, last: sent}
	m.open, m.drop = context.WithCancel(context.Background())
	return m
}

// close closes the connection when everything has been sent, or after managerTime.
func (m *manager) close() {
	if m == nil {
		return
	}
	time.AfterFunc(managerTime, m.drop)
	m.tell(func(wire.Socket) error { return m.conn.Close() })
	m.wait(context.Background())
}

// wait waits for at most notifyTime until everything has been sent.
func (m *manager) wait(ctx context.Context) {
	if m == nil {
		return
	}
	select {
	case <-m.tell(func(wire.Socket) error { return nil }):
	case <-ctx.Done():
	case <-time.After(notifyTime):
	}
}

// notifyTime limits the time for which a method of Process waits for a manager that does not read.
var notifyTime = time.Second // shorter in a test

// dontWait is a connection whose Send does not wait. While a socket is being sent, closing it waits.
type dontWait struct{ *scm.Conn }

func (c dontWait) Send(m *scm.Message, flags int) error { return c.Conn.Send(m, flags|sys.DontWait) }

// tell sends a notification after all earlier ones, logs the error, and closes sent. It does not wait: if the manager's
// queue is full, a goroutine tries again until managerTime after Close. It does nothing if m is nil.
func (m *manager) tell(notify func(wire.Socket) error) (sent <-chan struct{}) {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	earlier, done := m.last, make(chan struct{})
	select {
	case <-earlier: // this process may exit before a goroutine runs
		if err := notify(m.conn); !sys.Again(err) {
			m.log(err)
			return earlier
		}
	default:
	}
	m.last = done
	go func() {
		defer close(done)
		<-earlier
		err := notify(m.conn)
		for pause := time.Millisecond; sys.Again(err) && m.open.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
			time.Sleep(pause)
			err = notify(m.conn)
		}
		m.log(err)
	}()
	return done
}

// log logs the error of a notification.
func (m *manager) log(err error) {
	if err != nil && !errors.Is(err, os.ErrClosed) {
		m.logger.Warn("handover: cannot notify the service manager", "err", err)
	}
}

func (m *manager) ready()     { m.tell(wire.NotifyReady) }
func (m *manager) reloading() { m.tell(wire.NotifyReloading) }

// failed notifies the manager that a reload has ended, and why it failed.
func (m *manager) failed(reason error) {
	text := []rune(strings.Join(strings.Fields(strings.ToValidUTF8(reason.Error(), "?")), " "))
	m.tell(func(sock wire.Socket) error {
		return wire.Notify.Send(sock, "READY=1\nSTATUS="+string(text[:min(len(text), maxStatus)]))
	})
}

// errReaped means that the service manager has received the exit status of a process.
var errReaped = errors.New("the service manager has its exit status")

// managerTime is how long the manager may take to answer before a warning is logged, and to read after Close.
const managerTime = writeTime

// maxStatus is the maximum length of a status, in characters.
const maxStatus = 500

// supervises reports whether a successor, which says that it belongs to a unit, belongs to that of this process. If so,
// this process announces the successor to the manager as the main process. It must not announce a process of another
// unit: if the sender is root, systemd accepts any process as the main one.
func (m *manager) supervises(pid int, unit string) bool {
	return m != nil && m.unit != "" && m.unit == unit && pid > 0
}

// setMain tells the manager that the successor is now the main process, and waits until the manager knows. It returns
// an error if the successor has exited: systemd may have ignored the message then, and would not notice that no process
// serves.
func (m *manager) setMain(ctx context.Context, pid, pidfd int) error {
	defer time.AfterFunc(managerTime, func() {
		if ctx.Err() == nil && !hasExited(-1, pid) { // the pidfd may be closed
			m.logger.Warn("handover: the service manager has not answered, so both processes serve",
				"manager", m.conn.RemoteAddr().String(), "pid", pid, "duration", managerTime)
		}
	}).Stop()
	var err error
	<-m.tell(func(sock wire.Socket) error {
		// After MAINPID, systemd accepts nothing from this process, so READY is in the same message. An empty STATUS
		// clears what a failed upgrade has left there. Before version 257, systemd ignores MAINPIDFD without MAINPID.
		// It has ignored WATCHDOG of the successor so far, and neither MAINPID nor READY resets its timer.
		text := fmt.Sprintf("MAINPID=%d\nWATCHDOG=1\nREADY=1\nSTATUS=", pid)
		if pidfd >= 0 {
			err = wire.Notify.Send(sock, text+"\nMAINPIDFD=1", pidfd)
		}
		if pidfd < 0 || err != nil && !sys.Again(err) { // ETOOMANYREFS, for example: the pidfd can be left out
			err = wire.Notify.Send(sock, text)
		}
		return err
	})
	if err == nil { // if this process exited before the manager had read that, the manager would kill the successor too
		err = wire.NotifyBarrier(ctx, m.conn)
		m.log(err)
		for sys.TableFull(err) && !hasExited(pidfd, pid) { // until a client leaves
			sleep(50 * time.Millisecond)
			err = wire.NotifyBarrier(ctx, m.conn)
		}
	}
	if hasExited(pidfd, pid) {
		return errors.New("it exited as soon as it served")
	}
	return nil
}

// store makes the manager keep sockets, so that no connection is refused after a crash, and forget those that are no
// longer used. The manager does not keep the same socket under a second name, so store removes the old names first.
func (m *manager) store(kept []offered, dropped []string) {
	slices.Sort(dropped)
	for _, name := range slices.Compact(dropped) {
		m.tell(func(sock wire.Socket) error { return wire.NotifyRemove(sock, name) })
	}
	for _, s := range kept {
		m.tell(func(sock wire.Socket) error {
			return withFD(s.conn, func(fd int) error { return wire.NotifyStore(sock, s.Name, fd) })
		})
	}
}
