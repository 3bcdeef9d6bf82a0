// Package netlink receives from sockets that carry no descriptors.
package netlink

import "golang.org/x/sys/unix"

func open() (int, error) { return unix.Socket(unix.AF_NETLINK, 0, 0) }

func receive(sock int, p, oob []byte) (n, oobn int, err error) {
	n, oobn, _, _, err = unix.Recvmsg(sock, p, oob, 0)
	return n, oobn, err
}
