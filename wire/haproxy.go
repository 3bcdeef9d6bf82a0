package wire

// HAProxySockpair is the format in which HAProxy passes its clients' connected sockets through a
// sockpair@N address. HAProxy receives them on `bind sockpair@N` and sends them to `server NAME
// sockpair@N`. The payload is two bytes. Send sets both to 0. Some versions of HAProxy send undefined
// bytes.
var HAProxySockpair Format = fixed{label{"haproxy-sockpair", "unix"}, "\x00\x00", false}
