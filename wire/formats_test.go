//go:build unix && !aix

package wire_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// These tables list what each format sends, receives and rejects. Every format has rows in golden, and
// ExampleLookup prints its name. Those without code of their own have no rows in rejectedByRecv and
// rejectedBySend: OpenSSH has rows for all formats with a fixed payload.

// message is the text and the number of descriptors of a Send or Recv, and the payload on the wire.
type message struct {
	format  wire.Format
	text    string
	fds     int
	payload string
}

// getfd is a QMP command.
const getfd = `{"execute": "getfd", "arguments": {"fdname": "fd1"}}`

// content describes the text and the descriptors of a message.
func (m message) content() string {
	text := "no text"
	if m.text != "" {
		text = Count(len(m.text), "byte") + " of text"
	}
	return text + " and " + Count(m.fds, "descriptor")
}

// quoted returns the name of a format as it appears in the names of specs. Some formats are called by a common
// word, for example "book".
func quoted(format wire.Format) string { return fmt.Sprintf("%q format", format.Name()) }

// golden are messages with their payload, byte for byte.
var golden = []message{
	{wire.APUE, "", 1, "\x00\x00"},
	{wire.Book, "", 1, "\x00"},
	{wire.Book, "some bytes", 1, "some bytes"},
	{wire.Conmon, "/dev/ptmx", 1, "/dev/ptmx\x00"},
	{wire.Conmon, "", 1, "\x00"},
	{wire.Crun, "", 1, " "},
	{wire.Fusermount, "", 1, "\x00"},
	{wire.GVisor, "", 1, ""},
	{wire.HAProxySockpair, "", 1, "\x00\x00"},
	{wire.Notify, "FDSTORE=1\nFDNAME=x", 2, "FDSTORE=1\nFDNAME=x"},
	{wire.Notify, "READY=1", 0, "READY=1"},
	{wire.OpenSSH, "", 1, "\x00"},
	{wire.Passfd, "", 1, "\x00\x00\x00\x00"},
	{wire.Python, "", 1, "\x01"},
	{wire.Python, "", 253, "\xfd"},
	{wire.QEMUBridgeHelper, "", 1, "\x00"},
	{wire.QMP, getfd, 1, getfd},
	{wire.Runc, "/dev/ptmx", 1, "/dev/ptmx"},
	{wire.Runc, strings.Repeat("n", 4095), 1, strings.Repeat("n", 4095)},
	{wire.SeccompListener, `{"fds":["seccompFd"],"state":{}}`, 1, `{"fds":["seccompFd"],"state":{}}`},
	{wire.SeccompListener, `{"fds":["a"],"Fds":["b","c"]}`, 1, `{"fds":["a"],"Fds":["b","c"]}`},
	{wire.SeccompListener, `{"x":1e999,"fds":[ "a" ]}`, 1, `{"x":1e999,"fds":[ "a" ]}`},
	{wire.SeccompListener, `{"metadata":"\\\"}{","fds":["seccompFd","b"]}`, 2, `{"metadata":"\\\"}{","fds":["seccompFd","b"]}`},
	{wire.SkalibsAncil, "|", 1, "|"},
	{wire.SkalibsUnixmessage, "", 0, "\x00\x00\x00\x00\x00\x00"},
	{wire.SkalibsUnixmessage, "data", 2, "\x00\x00\x00\x04\x00\x02data"},
	{wire.SkalibsUnixmessage, strings.Repeat("d", 300), 253, "\x00\x00\x01\x2c\x00\xfd" + strings.Repeat("d", 300)},
}

// alsoReceived are other messages that Recv accepts. A row's text and descriptors are what it returns.
var alsoReceived = []message{
	{wire.Book, "plain", 0, "plain"},           // as read_fd does
	{wire.Conmon, "/dev/ptmx", 1, "/dev/ptmx"}, // from runc
	{wire.Conmon, " ", 1, " "},                 // from crun
	{wire.Notify, "READY=1", 0, "READY=1\x00"},
	{wire.QMP, getfd, 1, " \t\r\n" + getfd},
}

// unpadded are the formats that set msg_controllen to CMSG_LEN, and not to CMSG_SPACE.
var unpadded = []wire.Format{wire.APUE, wire.GVisor, wire.QEMUBridgeHelper}

// rejected is a message that violates its format, and a part of the error.
type rejected struct {
	message
	reason string
}

// received and sent describe the message and the error.
func (r rejected) received() string { return r.of(r.payload) }
func (r rejected) sent() string     { return r.of(r.text) }

func (r rejected) of(p string) string {
	size := "an empty message"
	if p != "" {
		size = "a message of " + Count(len(p), "byte")
	}
	return fmt.Sprintf("%s with %s (%q)", size, Count(r.fds, "descriptor"), r.reason)
}

const (
	tooMany = "control data truncated"
	none    = "received 0 descriptors, want 1"
)

// rejectedByRecv are messages that Recv rejects.
var rejectedByRecv = []rejected{
	{message{wire.APUE, "", 2, "\x00\x00"}, tooMany},
	{message{wire.APUE, "", 0, "\x00\x00"}, none},
	{message{wire.APUE, "", 1, "\x00\x00x"}, "received 1 byte after the status"},
	{message{wire.APUE, "", 1, strings.Repeat("x", 65537)}, "text is longer than 65536 bytes"},
	{message{wire.APUE, "", 1, strings.Repeat("x", 65537) + "\x00\x00"}, "text is longer than 65536 bytes"},
	{message{wire.Book, "", 2, "\x00"}, tooMany},
	{message{wire.Conmon, "", 2, "/dev/ptmx\x00"}, tooMany},
	{message{wire.Conmon, "", 0, "/dev/ptmx\x00"}, none},
	{message{wire.GVisor, "", 2, ""}, tooMany},
	{message{wire.GVisor, "", 1, "x"}, "received a payload"},
	{message{wire.GVisor, "", 0, "x"}, "received a payload"},
	{message{wire.Notify, "", 1, strings.Repeat("x", 4097)}, "state is longer than 4096 bytes"},
	{message{wire.Notify, "", 1, "READY=1\x00STATUS=x"}, "state contains a zero byte"},
	{message{wire.OpenSSH, "", 2, "\x00"}, tooMany},
	{message{wire.OpenSSH, "", 0, "\x00"}, none},
	{message{wire.Python, "", 2, "\x01"}, "received 2 descriptors, but the message announces 1"},
	{message{wire.Python, "", 0, "\x00"}, "received no descriptor"},
	{message{wire.QMP, "", 2, "{}"}, tooMany},
	{message{wire.QMP, "", 0, "{}"}, "received no descriptor"},
	{message{wire.QMP, "", 1, "{]}"}, "not a JSON object"},
	{message{wire.QMP, "", 1, "[]"}, "not a JSON object"},
	{message{wire.QMP, "", 1, "{" + strings.Repeat(" ", 1<<16) + "]}"}, "not a JSON object"},
	{message{wire.Runc, "", 2, "name"}, tooMany},
	{message{wire.Runc, "", 0, "name"}, none},
	{message{wire.Conmon, "", 1, strings.Repeat("n", 4096)}, "name has 4096 bytes or more"},
	{message{wire.Runc, "", 1, strings.Repeat("n", 4096)}, "name has 4096 bytes or more"},
	{message{wire.SeccompListener, "", 1, `{"fds":["a","b"]}`}, "1 descriptor, but 2 names"},
	{message{wire.SeccompListener, "", 2, `{"fds":["a"]}`}, "2 descriptors, but 1 name in"},
	{message{wire.SeccompListener, "", 1, `{"fds":1}`}, "1 descriptor, but 0 names"},
	{message{wire.SeccompListener, "", 1, `{"FDS":["a"]}`}, "1 descriptor, but 0 names"},
	{message{wire.SeccompListener, "", 1, `{"fds":[null]}`}, "not a string"},
	{message{wire.SeccompListener, "", 2, `{"fds":["a",1]}`}, "not a string"},
	{message{wire.SeccompListener, "", 0, `{"fds":[]}`}, "received no descriptor"},
	{message{wire.SkalibsAncil, "", 2, "|"}, tooMany},
	{message{wire.SkalibsAncil, "", 0, "|"}, none},
	{message{wire.SkalibsUnixmessage, "", 2, "\x00\x00\x00\x00\x00\x01"}, "received 2 descriptors, but the message announces 1"},
	{message{wire.SkalibsUnixmessage, "", 1, "\x10\x00\x00\x01\x00\x01"}, "message announces 268435457 bytes of text"},
}

// rejectedBySend are messages that Send rejects.
var rejectedBySend = []rejected{
	{message{wire.APUE, "text", 1, ""}, "cannot send text"},
	{message{wire.APUE, "", 0, ""}, "cannot send 0 descriptors: the format requires 1"},
	{message{wire.Book, "", 2, ""}, "cannot send 2 descriptors: the format requires 1"},
	{message{wire.Book, strings.Repeat("x", 4097), 1, ""}, "text is 4097 bytes long"},
	{message{wire.Conmon, "name", 0, ""}, "cannot send 0 descriptors"},
	{message{wire.Conmon, strings.Repeat("n", 4096), 1, ""}, "name is 4096 bytes long"},
	{message{wire.Conmon, "na\x00me", 1, ""}, "name contains a zero byte"},
	{message{wire.GVisor, "text", 1, ""}, "cannot send text"},
	{message{wire.GVisor, "", 0, ""}, "cannot send 0 descriptors"},
	{message{wire.Notify, "", 1, ""}, "state is 0 bytes long"},
	{message{wire.Notify, strings.Repeat("x", 4097), 0, ""}, "state is 4097 bytes long"},
	{message{wire.Notify, "READY=1\x00", 0, ""}, "state contains a zero byte"},
	{message{wire.Notify, "FDSTORE=1", 254, ""}, "cannot send 254 descriptors: the format requires 0 to 253"},
	{message{wire.OpenSSH, "text", 1, ""}, "cannot send text"},
	{message{wire.OpenSSH, "", 0, ""}, "cannot send 0 descriptors"},
	{message{wire.Python, "text", 1, ""}, "cannot send text"},
	{message{wire.Python, "", 0, ""}, "cannot send 0 descriptors: the format requires 1 to 253"},
	{message{wire.Python, "", 254, ""}, "cannot send 254 descriptors"},
	{message{wire.QMP, "", 1, ""}, "not a JSON object"},
	{message{wire.QMP, "null", 1, ""}, "not a JSON object"},
	{message{wire.QMP, "{}{}", 1, ""}, "not a JSON object"},
	{message{wire.QMP, "{}", 0, ""}, "cannot send 0 descriptors: the format requires 1"},
	{message{wire.QMP, strings.Repeat(" ", 1<<20+1), 1, ""}, "text is 1048577 bytes long"},
	{message{wire.Runc, "", 1, ""}, "name is 0 bytes long, want 1 to 4095"},
	{message{wire.Runc, strings.Repeat("n", 4096), 1, ""}, "name is 4096 bytes long"},
	{message{wire.Runc, "name", 2, ""}, "cannot send 2 descriptors"},
	{message{wire.SeccompListener, `{"fds":["a"]}`, 2, ""}, "2 descriptors, but 1 name in"},
	{message{wire.SeccompListener, `{"Fds":["a"]}`, 1, ""}, "1 descriptor, but 0 names"},
	{message{wire.SkalibsAncil, "", 1, ""}, "text is 0 bytes long, want 1"},
	{message{wire.SkalibsAncil, "ab", 1, ""}, "text is 2 bytes long, want 1"},
	{message{wire.SkalibsAncil, "|", 0, ""}, "cannot send 0 descriptors"},
	{message{wire.SkalibsUnixmessage, "", 254, ""}, "cannot send 254 descriptors"},
}

// beginnings are messages whose end is missing.
var beginnings = []message{
	{wire.APUE, "", 0, "some text"},
	{wire.APUE, "", 1, "\x00"},
	{wire.HAProxySockpair, "", 1, "\x00"},
	{wire.Passfd, "", 1, "\x00\x00\x00"},
	{wire.QMP, "", 1, `{"execute": "}`},
	{wire.SeccompListener, "", 3, `{"state":{}`},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00"},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00\x01"},
	{wire.SkalibsUnixmessage, "", 1, "\x00\x00\x00\x04\x00\x01dat"},
}

var _ = Describe("in the", func() {
	for _, g := range golden {
		It(quoted(g.format)+", Send sends "+g.content()+" with the payload that the format defines", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			Expect(g.format.Send(f.a, g.text, f.files(g.fds)...)).To(Succeed())
			payload, fds := f.receives(f.b)
			Expect(payload).To(Equal(g.payload))
			Expect(fds).To(HaveLen(g.fds))
			isEmpty(f.b)
		})
	}

	for _, g := range slices.Concat(golden, alsoReceived) {
		payload := Count(len(g.payload), "byte")
		It(quoted(g.format)+", Recv receives "+g.content()+" from a payload of "+payload, func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			sent := f.files(g.fds)
			sends(f.a, g.payload, sent...)
			Expect(f.from(g.format, f.b, sent...)).To(Equal(g.text), "payload %.80q", g.payload)
			isEmpty(f.b)
		})
	}
})

// firstGolden panics if a format has no row in golden.
var _ = It("Formats returns every format, sorted by name, and Lookup finds each", func() {
	var names []string
	for _, format := range wire.Formats() {
		names = append(names, format.Name())
		found, ok := wire.Lookup(format.Name())
		Expect(ok).To(BeTrue(), format.Name())
		Expect(found).To(Equal(format))
		Expect(format.Network()).To(BeElementOf("unix", "unixgram", "unixpacket"))
	}
	Expect(slices.IsSorted(names)).To(BeTrue(), "%v", names)
	_, ok := wire.Lookup("unknown")
	Expect(ok).To(BeFalse())
})
