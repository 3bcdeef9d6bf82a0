package wire

// HAProxySockpair is the format in which HAProxy passes its clients' connected sockets through a sockpair@N
// address. HAProxy receives them on `bind sockpair@N` and sends them to `server NAME sockpair@N`.
//
// The format uses a stream socket. A message consists of two bytes and one descriptor. The text to send
// must be empty. Send sets both bytes to 0. Some versions of HAProxy send undefined bytes, so Recv accepts
// any values. Send sets msg_controllen to CMSG_SPACE. The receiver does not acknowledge messages.
//
// See [Format] for who owns the descriptors on success and on error.
var HAProxySockpair Format = fixed{label{"haproxy-sockpair", "unix"}, "\x00\x00", false}
