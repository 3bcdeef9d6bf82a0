//go:build unix && !linux

package pure

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// SendBatch sends up to msg.MaxBatch messages one after the other.
func SendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	for i := range ms {
		if err := check(&ms[i]); err != nil {
			return -1, err
		}
	}
	for i := range ms {
		if err := Send(sock, &ms[i], flags); err != nil {
			return done(i, err)
		}
		// As sendmmsg: nothing goes behind a message that went in part.
		if ms[i].N < length(&ms[i]) {
			return i + 1, nil
		}
	}
	return len(ms), nil
}

func length(m *msg.Message) (n int) {
	for _, p := range m.Buffers {
		n += len(p)
	}
	return n
}

// RecvBatch receives up to msg.MaxBatch messages, and having one does not wait
// for the next.
func RecvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	for i := range ms {
		ms[i].ClearReceived()
		if err := check(&ms[i]); err != nil {
			return -1, err
		}
	}
	for i := range ms {
		if i > 0 {
			flags |= sys.DontWait
		}
		if err := Recv(sock, &ms[i], flags); err != nil {
			return done(i, err)
		}
	}
	return len(ms), nil
}

// done is what a batch returns that stopped at i.
func done(i int, err error) (int, error) {
	if i > 0 {
		return i, nil
	}
	return -1, err
}
