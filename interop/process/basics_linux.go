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
	"github.com/scm-rights/scm/interop/scenario"
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

// wordCalls are the simplest calls that need each word of can= other than a type of socket.
var wordCalls = []struct{ word, send, recv string }{
	{"flags", "send payload=00 fds=%d flags=nosignal", "recv bytes=1 fds=1 flags=peek"},
	{"multi", "send payload=00 fds=%d,%[1]d", "recv bytes=1 fds=2"},
	{"iov", "send payload=00,00 fds=%d", "recv bytes=1,1 fds=1"},
}

// Refused starts the peer, which has answered hello, and returns those of the wordCalls that it claims and answers
// "unsupported" to, such as "send with flags". After an error, it has not tried all of them.
func Refused(ctx context.Context, p *scenario.Peer, timeout time.Duration) (list []string, err error) {
	socketType := slices.IndexFunc(contract.SocketTypes, p.Hello.Offers)
	if socketType < 0 || p.Hello.Room != "" || p.Hello.Payload != "" {
		return nil, nil // what the library fixes may exclude a call
	}
	pool, err := newTestPool(slices.Repeat(socketTypes[socketType:socketType+1], 2*len(wordCalls))...)
	defer pool.close()
	if err != nil {
		return nil, err
	}
	proc, err := Start(p, pool.given, scenario.User{}, nil)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	if _, err := proc.Greet(ctx, timeout); err != nil {
		return nil, err
	}
	for i, calls := range wordCalls {
		if !p.Hello.Offers(calls.word) {
			continue
		}
		if err := pool.sendTo(2*i, []byte{0, 0}); err != nil {
			return list, err
		}
		sock, file := proc.FDs[1+2*i], proc.FDs[2+2*i] // another socket is the file
		if err := proc.expect(ctx, fmt.Sprintf("use sock=%d fds=%d", sock, file), "ok", timeout); err != nil {
			return list, err
		}
		for _, command := range []string{fmt.Sprintf(calls.send, file), calls.recv} {
			answer, err := proc.Ask(ctx, command, timeout)
			if err != nil {
				return list, fmt.Errorf("%q: %w", command, proc.Explain(err))
			}
			if verb, _, _ := strings.Cut(command, " "); answer == "unsupported" {
				list = append(list, verb+" with "+calls.word)
			}
			if p.Hello.Closes && !strings.HasPrefix(answer, "ok ") {
				break // the library may have closed the socket
			}
		}
		if err := proc.expect(ctx, "end", "ok", timeout); err != nil {
			return list, err
		}
	}
	return list, nil
}
