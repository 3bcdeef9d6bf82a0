//go:build unix && !linux

package pure

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// SendBatch sends up to msg.MaxBatch messages, each with its own system call.
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
		// Like sendmmsg, send nothing after an incomplete message.
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

// RecvBatch receives up to msg.MaxBatch messages. It waits only for the first.
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

// done returns the results of a batch that stopped at i.
func done(i int, err error) (int, error) {
	if i > 0 {
		return i, nil
	}
	return -1, err
}
