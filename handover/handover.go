// Package handover lets a new version of a server take over from the running one without losing a request.
//
// A [Process] represents one running version. The first one creates its listening sockets and waits for a
// successor at a Unix socket, whose path is passed to [Start]. A successor is usually a new version of the
// same program, started with the same path. It receives the sockets from its predecessor, prepares to serve,
// and calls [Process.Ready]. When Ready returns nil, the successor starts to serve. The predecessor then
// stops accepting connections, finishes the requests that it has already accepted, and exits:
//
//	p, err := handover.Start(ctx, "/run/app/handover.sock")
//	if err != nil {
//		return err
//	}
//	defer func() { p.Fail(err) }() // before Ready, the predecessor logs err
//	l, err := p.Listen(ctx, "web", "tcp", ":8080")
//	… // everything else that can take long or fail
//	if err := p.Ready(ctx); err != nil {
//		return err // the predecessor continues
//	}
//	go serve(l)
//	<-p.Replaced()
//	… // close l, wait for the clients, and exit
//
// During the handover, the listening sockets are open in both processes. New connections wait in the queue of their
// socket, so none is refused. Only the sockets are passed on. If a program wraps a listener, for example to serve
// TLS, it must wrap the result of [Process.Listen] in every process. The options of Unix sockets are in
// [Config].Unix, and apply in every process.
//
// # Failures
//
// If the successor fails before Ready returns nil, the predecessor continues, and its clients notice nothing.
// If the predecessor dies after it has sent the sockets, the successor serves alone. At most one process at a
// time intends to keep serving. Stopping a process (SIGSTOP) between two messages may make either one wait or
// fail, but never makes both keep serving.
//
// # Who may take over
//
// A process that connects to the Unix socket and is accepted by [Config].Check receives all of the server's
// sockets. By default, only processes of the same user or of root may take over. Conversely, a successor takes
// sockets only from a process of its own user or of root. Start creates the socket file, with mode 0600 on
// Linux. Put it in a directory that only the server's user can write to.
//
// In a user namespace, such as that of a rootless container, the kernel reports every user outside the namespace as
// 65534. A server that runs there as user 65534 cannot distinguish those users from its own. Only the mode of the
// socket file and its directory keep them out, so run the server as another user.
//
// # Service managers
//
// In a systemd unit with Type=notify or Type=notify-reload, which set NOTIFY_SOCKET, the package sends all the
// notifications that a handover requires. In the first process, Ready sends READY=1. Upgrade sends RELOADING=1 and
// starts the successor as a child of the manager. When a successor in the same unit (with the same INVOCATION_ID) has
// started to serve, the predecessor sends MAINPID and READY=1 and waits until the manager has processed them. Only then
// is it replaced, so that it can safely exit. If the successor exits before that, the predecessor continues, because
// systemd accepts only a running process as the main process. If an upgrade fails, the reason becomes the status of the
// unit. A successor in another unit sends READY=1 itself.
//
// If FDSTORE is set, the manager keeps the sockets that Listen and ListenPacket returned before Ready was
// called. systemd 254 and later set it if FileDescriptorStoreMax= is set. If the main process is killed,
// connections then wait for the next one instead of being refused. The manager does not keep files that were
// passed to Keep.
//
// In other units, such as those with Type=simple or Type=exec, the service ends when the process that systemd
// started exits, no matter who started the successor. Upgrade therefore returns an error in that process, unless
// Config.PIDFile is set: if the unit's PIDFile= names this file, systemd reads the new main process from it when
// the old one exits. Upgrade recognizes that process by SYSTEMD_EXEC_PID, which systemd sets since version 248. With
// an older version, it cannot return this error, and the service ends after the upgrade.
//
// Errors in sending notifications are logged and have no other effect. If the manager does not read them, Ready, Close
// and a failed Upgrade each wait for at most a second. The notifications are sent later, in order, while the process
// runs. Those not sent within ten seconds of a call to Close are dropped. Without NOTIFY_SOCKET, the package does none
// of this. Supervisors such as runit, s6 and supervisord start another process when their child exits, which takes over
// from the successor. A container ends when its process 1 exits, so that process cannot be replaced.
//
// # The protocol
//
// The Unix socket is a stream socket. A message consists of a length (4 bytes, big-endian) and a JSON object of at most
// 1 MiB. The descriptors of a message are sent with the first byte of the length. The field "type" is the type of the
// message, and "descriptors" is the number of its descriptors, at most 253. Keys are in lower case, except takesConns,
// and a receiver need not accept any other spelling. It ignores fields that it does not know, and closes the
// descriptors that belong to them. It looks at the type first. Only a message of type sockets requires its descriptors.
// Other messages can be received without space for descriptors, which the kernel then closes, and the receiver can
// ignore their number.
//
//	successor           predecessor
//	hello           →                 versions, needs, unit
//	                ←   sockets …     version, generation, sockets, more
//	ready           →
//	                ←   go
//	going           →
//	                ←   main
//
// In hello, versions lists the versions of the protocol that the successor supports, needs is the maximum time, in
// milliseconds, that the successor takes to become ready, and unit is its INVOCATION_ID. The predecessor chooses one of
// these versions. So far, 1 is the only one. In sockets, generation is the number of processes that have served,
// including the predecessor. Each element of sockets has a name, a network, an address, and created. If Listen or
// ListenPacket created the socket, in the predecessor or a process before it, created is true, and closing the socket
// removes its file. device and inode identify this file: each is a decimal number in a string. Without them, or if the
// path leads to another file, the file stays. The first descriptors of the message belong to these elements, in order.
// address is in base64, because a path need not be UTF-8. For a file that was passed to [Process.Keep], network is
// absent. Process.Listen sets O_NONBLOCK in a received socket, and thus for the predecessor, whose accept(2) then no
// longer waits. The element ":control" is the Unix socket itself. The element ":life" is the read end of a pipe. If
// more is true, another message of type sockets follows.
//
// After receiving go, the successor may send going and then serve. When the predecessor receives going, it is replaced,
// unless main was set. Either process may send abort, with a reason, instead of any other message. It then closes the
// connection, and the attempt has failed. Any other message that the receiver does not expect or cannot read also ends
// the attempt, and the receiver sends abort. After go, this is different: see below.
//
// The end of the stream does not say why it ended, and an abort is lost if the buffer of the socket is full.
// Therefore each process decides as follows:
//
//   - The predecessor hands over to one successor at a time. If the stream ends before going, the successor
//     does not serve, because it sends going first. The predecessor continues, even if the stream ends in the middle
//     of a message.
//   - After go, every message but abort counts as going, even if the predecessor cannot read it, because only a
//     successor that may serve sends it. So does an error of read(2), except those that mean that the stream has ended.
//     Only abort and the end of the stream mean that the successor does not serve.
//   - The predecessor makes the pipe ":life" for this attempt only, and no other process has its write end. If
//     the attempt fails, the predecessor writes one byte into the pipe before it aborts. The byte always fits.
//   - If the stream ends before the successor has received all sockets, the successor connects again.
//   - If the stream ends later, but before the successor has sent going, the successor reads from the pipe. If it
//     receives another message instead of go, it sends abort, and then also reads from the pipe. A byte means that the
//     attempt has failed. The end of the pipe means that the predecessor died while it still offered its sockets to
//     this successor. Only then does the successor serve without go.
//
// If go has main set to true, the predecessor notifies the service manager that the successor is the main
// process, and then sends main. Until then, the manager ignores the successor, and the predecessor continues
// if the successor dies. For this reason, the successor sends its sockets to no other process until it has
// received main, or the end of the stream.
//
// The message types conns and received, and the field takesConns of hello, are reserved for passing open
// connections.
package handover

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/scm-rights/scm"
)

// Config contains options for a [Process]. The function [Start] uses the zero Config.
type Config struct {
	// Timeout is the maximum time that this process may take from receiving a predecessor's sockets to calling Ready.
	// If it takes longer, the predecessor stops waiting for it, and Ready fails. Zero or less means one minute. The
	// maximum is a day.
	Timeout time.Duration

	// Check specifies whether the process at the other end of the connection may take over from this one. If
	// it returns an error, that process receives the text of the error but no sockets. Check must not read
	// from or write to the connection. It may be called by multiple goroutines simultaneously. If Check is
	// nil, the process must belong to the same user or to root. Check cannot admit other users, because the
	// mode of the socket file keeps them out on Linux. On systems without [scm.PeerCred] (AIX and
	// DragonFly BSD), Check is required.
	Check func(successor *scm.Conn) error

	// Unix has the options of the Unix sockets that Process.Listen and ListenPacket return, whether these were
	// received or created. Unix.Mode is an exception: it applies only to those that they create without
	// Config.Listen. A mode for an abstract name or, in Process.Listen, with Config.Listen is an error that wraps
	// [os.ErrInvalid], even if the socket was received from a process that created it.
	//
	// With Unix.NoFiles, the kernel rejects descriptors for a received socket as soon as the predecessor can no longer
	// continue: when Ready returns or, if the predecessor notifies a service manager, soon after. Until then, this
	// process rejects them itself. Later versions inherit this. To receive descriptors again, a version leaves NoFiles
	// unset and calls [scm.PassRights] after Ready. With NoFiles set, this process would undo that call once the service
	// manager has answered the predecessor. A program that itself calls NewListener with NoFiles must also do so after
	// Ready, because it changes the socket at once.
	Unix scm.Config

	// If Listen is not nil, Process.Listen calls it to create the sockets that it has not received, for example to set
	// socket options. It must then also set the mode of Unix sockets. If Listen is nil, Process.Listen uses scm.Listen
	// for Unix sockets, which replaces a stale file, and net.ListenConfig for others. A function that sets options of
	// TCP is called for Unix sockets too. For these, it should return the UnixListener of [scm.Config.Listen]: with that
	// of package net, a stale file is an error.
	//
	// Listen must return a [*net.TCPListener] or a [*net.UnixListener]. Process.Listen uses only its socket: it opens
	// the socket anew, as each successor does, and closes the listener. Other settings of the listener, such as
	// keep-alive options or SetUnlinkOnClose, have no effect: see [Process.Listen]. For any other type, the error wraps
	// [os.ErrInvalid]. A wrapper and a [*scm.Listener], which has a Config of its own, cannot leave the process that
	// creates them, and package net cannot open the sockets of other types. Get those sockets from File or, if it
	// returns nil, create them and pass them to Keep. An upgrade calls Listen only for new sockets, so it succeeds in
	// spite of such an error, which then stops the next first process.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// If PIDFile is not empty, this file contains the ID of the process that serves. A successor writes it when
	// it has been allowed to serve, and before its predecessor is replaced. If that fails, the predecessor
	// continues, and writes its own ID again. A signal to this ID can arrive before Ready returns, so catch SIGHUP
	// before you call Ready. The first process, and one whose predecessor has died, write it in
	// Ready. Close removes the file, unless a successor serves or may serve. The directory must be writable. If
	// its file system does not respond, this process gives up after ten seconds.
	PIDFile string

	// Logger, if not nil, records what happens. At level Info, it records that this process waits for another one,
	// serves, hands over, or is replaced. At level Warn, it records errors that no method returns, and why another
	// process could not take over (at level Info if Upgrade returns the reason). At level Debug, it records why this
	// process took no sockets from the service manager. The attribute pid is the other process, or this one when it
	// serves, and 0 if it is not known. The attribute generation is 1 for the first process, 2 for its successor, and
	// so on. Other attributes are duration, err, path (of a Unix socket), name, names and addresses (of sockets, each
	// with its network) and manager (the service manager's address). A handler must not call Ready, Close, Fail or
	// Upgrade.
	Logger *slog.Logger
}

// defaultTimeout is the Timeout of the zero Config.
const defaultTimeout = time.Minute

// prefix adds the name of the package to the error that an exported function returns.
func prefix(err *error) {
	if *err != nil {
		*err = fmt.Errorf("handover: %w", *err)
	}
}
