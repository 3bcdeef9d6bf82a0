package process

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

// A testPool contains the descriptors with which a peer is started to test the peer itself.
type testPool struct {
	null  *os.File
	near  []int // sockets
	far   []int // the other ends of near
	given []int // null and near, in the order in which the peer inherits them
}

// socketTypes are the types in contract.SocketTypes.
var socketTypes = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}

// newTestPool opens the descriptors of a testPool with sockets of these types. Close them with close, even after an
// error.
func newTestPool(types ...int) (p *testPool, err error) {
	p = &testPool{}
	if p.null, err = os.Open(os.DevNull); err != nil {
		return p, err
	}
	p.given = []int{int(p.null.Fd())}
	for _, t := range types {
		two, err := unix.Socketpair(unix.AF_UNIX, t|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return p, fmt.Errorf("socketpair: %w", err)
		}
		p.near, p.far = append(p.near, two[0]), append(p.far, two[1])
		p.given = append(p.given, two[0])
	}
	return p, nil
}

func (p *testPool) close() {
	if p.null != nil {
		p.null.Close()
	}
	for _, fd := range slices.Concat(p.near, p.far) {
		unix.Close(fd)
	}
}

// sendTo sends a message with the file to the peer, which receives it from its socket near[i].
func (p *testPool) sendTo(i int, message []byte) error {
	rights := unix.UnixRights(int(p.null.Fd()))
	if err := unix.Sendmsg(p.far[i], message, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
		return fmt.Errorf("cannot send a message to the peer: %w", err)
	}
	return nil
}

// testBasics asks the peer to send and to receive one descriptor with one byte. It fills in Peer.Unfilled if it gets
// all answers. If all is false, it stops after the first answer that is not "unsupported". The sockets for the types
// in contract.SocketTypes begin with near[first].
func (proc *Process) testBasics(ctx context.Context, pool *testPool, first int, all bool, timeout time.Duration) error {
	h := proc.Peer.Hello
	bytes, fds, _ := strings.Cut(cmp.Or(h.Room, "*,*"), ",")
	if bytes == "0" || fds == "0" || !slices.ContainsFunc(contract.SocketTypes, h.Offers) {
		return nil // the contract does not require such a library to support them
	}
	bytes, fds = strings.Replace(bytes, "*", "16", 1), strings.Replace(fds, "*", "1", 1)
	payload := cmp.Or(h.Payload, "00")
	message, err := hex.DecodeString(payload)
	if err != nil {
		return err
	}
	commands := map[string]string{
		"send": fmt.Sprintf("send payload=%s fds=%d", payload, proc.FDs[0]),
		"recv": fmt.Sprintf("recv bytes=%s fds=%s", bytes, fds),
	}
	unfilled := []string{"send", "recv"}
	for i, socketType := range contract.SocketTypes {
		if !h.Offers(socketType) || len(unfilled) == 0 {
			continue
		}
		if err := pool.sendTo(first+i, message); err != nil {
			return err
		}
		if err := proc.expect(ctx, fmt.Sprintf("use sock=%d fds=%d", proc.FDs[1+first+i], proc.FDs[0]), "ok", timeout); err != nil {
			return err
		}
		var still []string
		for _, verb := range unfilled {
			answer, err := proc.Ask(ctx, commands[verb], timeout)
			if err != nil {
				return fmt.Errorf("%q: %w", commands[verb], proc.Explain(err))
			}
			switch {
			case answer == "unsupported":
				still = append(still, verb)
			case !all:
				return nil
			}
		}
		unfilled = still
	}
	proc.Peer.Unfilled = unfilled
	return nil
}
