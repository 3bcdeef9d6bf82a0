//go:build linux && cgo

// Command backends compares the control buffers of both backends for 0 to 253 descriptors.
package main

/*
#cgo CFLAGS: -std=c99 -I${SRCDIR}/../../../csrc
#define scm_rights_send own_send
#define scm_rights_recv own_recv
#include "scm_rights.c"

struct buffer {
	size_t n;
	unsigned char bytes[SCM_CONTROL_BYTES];
};

// Return csrc's control buffer: unpadded (1), with credentials (2), with a pidfd (4), for a receive (8).
static struct buffer
build(int *fds, size_t n, unsigned int kind)
{
	struct scm_cred cred = {0x11223344, 0x55667788, 0x99aabbcc};
	struct scm_message m = {.fds = fds, .nfds = n, .options = kind & SCM_UNPADDED};
	union scm_control control;
	struct msghdr msg;
	struct buffer b;
	int pidfd;

	m.cred = kind & 2 ? &cred : NULL;
	m.pidfd = kind & 4 ? &pidfd : NULL;
	memset(&control, 0x5a, sizeof(control));
	(kind & 8 ? scm_prepare_recv : scm_prepare_send)(&msg, &control, &m);
	b.n = (size_t)msg.msg_controllen;
	memcpy(b.bytes, &control, sizeof(b.bytes));
	return b;
}
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
)

func main() {
	buffers, size := 0, 0
	inC, inGo := make([]C.int, msg.MaxFDs), make([]int, msg.MaxFDs)
	for i := range inC {
		inC[i] = C.int(int32(0x10203040 + 0x01000193*uint32(i)))
		inGo[i] = int(inC[i])
	}
	for n := range msg.MaxFDs + 1 {
		for kind := range 16 {
			m := msg.Message{FDs: inGo[:n], Unpadded: kind&1 != 0}
			if kind&2 != 0 {
				m.Cred = &msg.Cred{PID: 0x11223344, UID: 0x55667788, GID: 0x99aabbcc}
			}
			if kind&4 != 0 {
				m.PIDFD = new(int)
			}
			b := C.build(&inC[0], C.size_t(n), C.uint(kind))
			got, want := make([]byte, len(b.bytes)), make([]byte, b.n)
			for i := range want {
				want[i] = byte(b.bytes[i])
			}
			if kind&8 != 0 {
				got = got[:pure.ControlRoom(&m)]
			} else {
				got = got[:pure.PutControl(got, &m)]
			}
			if !bytes.Equal(got, want) {
				fmt.Printf("%d descriptors, kind %d: in Go %x, in C %x\n", n, kind, got, want)
				os.Exit(1)
			}
			buffers, size = buffers+1, size+len(want)
		}
	}
	fmt.Printf("%d control buffers, %d bytes\n", buffers, size)
}
