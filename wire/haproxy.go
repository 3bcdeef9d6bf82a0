package wire

// HAProxySockpair is what HAProxy passes through an address sockpair@N: the
// connected socket of a client. HAProxy receives them on a `bind sockpair@N`, and
// sends them to a `server NAME sockpair@N`.
//
// Stream. Two bytes, 0 here and undefined in some versions of HAProxy, and one
// descriptor; no text. Control of CMSG_SPACE. The receiver does not look at
// the bytes. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var HAProxySockpair Format = fixed{label{"haproxy-sockpair", "unix"}, "\x00\x00"}
