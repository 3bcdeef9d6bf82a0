package wire

// HAProxySockpair is the format in which HAProxy passes the connected sockets of its clients through an
// address sockpair@N. HAProxy receives them from `bind sockpair@N` and sends them to
// `server NAME sockpair@N`.
//
// The socket is a stream. A message is two bytes and one descriptor. Send accepts no text and sets both bytes
// to 0. Some versions of HAProxy send undefined bytes, so Recv accepts any. msg_controllen is CMSG_SPACE.
// There is no acknowledgement.
//
// See [Format] for who owns the descriptors, on success and on error.
var HAProxySockpair Format = fixed{label{"haproxy-sockpair", "unix"}, "\x00\x00"}
