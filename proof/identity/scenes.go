//go:build linux

package identity

import (
	"strings"

	"golang.org/x/sys/unix"
)

// An original is a system that scm is modelled on. The peer of the original, and the peers of scm
// with the same interface, perform the same scenes.
type original struct {
	name        string
	heading     string   // of its section in docs/trust.md
	theirs      string   // the peer on the original
	ours        []string // the peers on scm
	closeOnExec bool     // it receives with MSG_CMSG_CLOEXEC
	sendFlags   string   // the flags that the original always passes, which our peers also have to pass
	scenes      []scene
}

// A scene is a sequence of actions that both peers perform. If departure is empty, both peers
// must make system calls with the same fields, except for fields listed in docs/trust.md.
// Otherwise, this holds only for types of sockets on which the answers of the peers and the descriptors that they
// leave open are the same. If they differ, docs/trust.md must contain a row with the text of departure.
type scene struct {
	departure   string
	socketTypes []int
	actions     []action
}

// same returns a scene without a departure.
func same(socketTypes []int, actions ...action) scene {
	return scene{socketTypes: socketTypes, actions: actions}
}

// differs returns a scene with a departure.
func differs(departure string, socketTypes []int, actions ...action) scene {
	return scene{departure, socketTypes, actions}
}

var (
	anyType   = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}
	stream    = anyType[:1]
	packets   = anyType[1:]
	seqpacket = anyType[2:]
)

var (
	recv0    = commands("recv bytes=0 fds=1")
	recv16   = commands("recv bytes=16 fds=1")
	recv4096 = commands("recv bytes=4096 fds=1")

	// warmUp makes the peer open the descriptors that it needs for itself before a scene limits its descriptors.
	warmUp = inOrder(message("first", "z"), recv4096)
)

var originals = []original{
	{
		name:    "UNP's write_fd, read_fd",
		heading: "UNP §15.7 (our rewrite)",
		theirs:  "book",
		ours:    []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"},
		scenes: []scene{
			same(anyType, commands("send payload=00 fds=4", "send payload=68656c6c6f fds=5", "send payload=00 fds=-1")),
			same(packets, commands("send payload=- fds=4")),
			same(anyType, message("hello", "x"), recv16, message("hello"), recv16),
			differs("`*recvfd`, two descriptors received in a buffer for one", anyType, message("hello", "x", "y"), recv16),
			differs("`*recvfd`, one descriptor received and MSG_CTRUNC set", anyType, message("hello", "x", "y"), freeFDs(1), recv16),
			differs("`*recvfd`, no descriptor received and MSG_CTRUNC set", anyType, message("hello", "x"), freeFDs(0), recv16),
			differs("a control message of another level or type", anyType, enable(unix.SO_PASSPIDFD), message("hello"), recv16),
			differs("`*recvfd`, if n ≤ 0", packets, message("", "x"), recv16),
		},
	},
	{
		name:    "Stack Overflow answer",
		heading: "Stack Overflow answer (our rewrite)",
		theirs:  "qa",
		ours:    []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"},
		scenes: []scene{
			same(anyType, commands("send payload=00 fds=4", "send payload=68656c6c6f fds=5", "send payload=00 fds=-1")),
			same(packets, commands("send payload=- fds=4")),
			same(anyType,
				message("hello", "x"),
				recv16,
				message("\x00", "y"),
				commands("recv bytes=1 fds=1"),
				message("hello", "z"),
				commands("recv bytes=2 fds=1"),
			),
			same(packets, message("", "x"), recv16),
			differs("two descriptors received", anyType, message("hello", "x", "y"), recv16),
			differs("three descriptors received", anyType, message("hello", "x", "y", "z"), recv16),
			differs("one of two descriptors received because the table was full", anyType,
				message("hello", "x", "y"),
				freeFDs(1),
				recv16,
			),
			differs("no descriptor in the message", anyType, message("hello"), recv16),
			differs("no descriptor received because the table was full", anyType, message("hello", "x"), freeFDs(0), recv16),
			differs("a pidfd received", anyType, enable(unix.SO_PASSPIDFD), message("hello"), recv16),
			differs("credentials received before the descriptor", anyType, enable(unix.SO_PASSCRED), message("hello", "x"), recv16),
			differs("end of stream", stream, endOfStream, recv16),
		},
	},
	{
		name:    "gVisor's fdchannel",
		heading: "gVisor's fdchannel",
		theirs:  "fdchannel",
		ours:    []string{"scm-fdchannel-cgo", "scm-fdchannel-purego"},
		scenes: []scene{
			same(seqpacket, commands("send payload=- fds=4", "send payload=- fds=5", "send payload=- fds=-1")),
			same(seqpacket, message("", "x"), message("payload", "y"), recv0, recv0, endOfStream, recv0),
			differs("one descriptor received and MSG_CTRUNC set", seqpacket, message("", "x", "y"), recv0),
			differs("no descriptor received and MSG_CTRUNC set", seqpacket, message("", "x"), freeFDs(0), recv0),
			differs("a control message of another type received", seqpacket, enable(unix.SO_PASSPIDFD), message(""), recv0),
		},
	},
	{
		name:        "runc's SendFile, RecvFile",
		heading:     "runc's SendFile and RecvFile",
		theirs:      "runc",
		closeOnExec: true,
		ours:        []string{sendFile},
		scenes: []scene{
			same(anyType, commands("send payload=2f6465762f707473 fds=4", "send payload=78 fds=5", "send payload=@4095 fds=4")),
			differs("sending a name of 4096 bytes", anyType, commands("send payload=@4096 fds=4")),
			same(anyType, message("/dev/pts/1", "x"), recv4096, message(strings.Repeat("n", 4095), "y"), recv4096),
			differs("sending an empty name", anyType, commands("send payload=- fds=4"), receive),
			differs("receiving a name that ends in a NUL", anyType, message("name\x00", "x"), recv4096),
			differs("two descriptors received", anyType, message("name", "x", "y"), recv4096),
			differs("three descriptors received", anyType, message("name", "x", "y", "z"), recv4096),
			differs("no descriptor in the message", anyType, message("name"), recv4096),
			differs("no descriptor received because the table was full", anyType, warmUp, message("name", "x"), freeFDs(0), recv4096),
			differs("one of two descriptors received because the table was full", anyType,
				warmUp,
				message("name", "x", "y"),
				freeFDs(1),
				recv4096,
			),
			differs("a control message of another type received", anyType, enable(unix.SO_PASSPIDFD), message("name"), recv4096),
			differs("receiving a name of 4096 bytes", anyType, message(strings.Repeat("n", 4096), "x"), recv4096),
			differs("receiving an empty name", packets, message("", "x"), recv4096),
			differs("end of stream", stream, endOfStream, recv4096),
		},
	},
	{
		name:      "ScmSocket before December 2023 (our rewrite)",
		heading:   "ScmSocket before December 2023 (our rewrite)",
		theirs:    "scmsocket",
		ours:      []string{"csrc", "scm-cgo", "scm-purego"},
		sendFlags: " flags=nosignal",
		scenes:    scmSocket,
	},
	{
		name:      "vmm-sys-util's ScmSocket",
		heading:   "vmm-sys-util",
		theirs:    "vmm-sys-util",
		ours:      []string{"csrc", "scm-cgo", "scm-purego"},
		sendFlags: " flags=nosignal",
		scenes:    scmSocket,
	},
}

var scmSocket = []scene{
	same(anyType,
		commands(
			"send payload=00 fds=4",
			"send payload=68656c6c6f fds=4,5,6",
			"send payload=68656c6c6f fds=-",
			"send payload=68,656c,6c6f fds=5,4",
			"send payload=00 fds=-1",
			"send payload=00 fds="+repeated(32),
			"send payload=00 fds="+repeated(33),
			"send payload=00 fds="+repeated(253),
		),
	),
	same(packets, commands("send payload=- fds=4")),
	same(anyType,
		message("hello", "x"),
		recv16,
		message("hello", "x", "y"),
		commands("recv bytes=2,14 fds=2"),
		message("hello"),
		commands("recv bytes=16 fds=3"),
		message("hello"),
		commands("recv bytes=16 fds=0"),
	),
	differs("one descriptor more than an odd capacity", anyType, message("hello", "x", "y"), recv16),
	differs("more descriptors than an even capacity", anyType,
		message("hello", "x", "y", "z"),
		commands("recv bytes=16 fds=2"),
	),
	differs("one of two descriptors received because the table was full", anyType,
		message("hello", "x", "y"),
		freeFDs(1),
		commands("recv bytes=16 fds=2"),
	),
	differs("a control message of another type received", anyType,
		enable(unix.SO_PASSPIDFD),
		message("hello"),
		commands("recv bytes=16 fds=2"),
	),
}

// repeated returns the peer's descriptor 4, n times.
func repeated(n int) string { return strings.TrimSuffix(strings.Repeat("4,", n), ",") }
