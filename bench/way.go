//go:build linux && cgo

package main

import "golang.org/x/sys/unix"

// A way is one library's to pass descriptors.
type way struct {
	name string
	form form
	make func(p pair, count int) pass
}

// pass sends one message, receives it, and closes the received descriptors.
type pass func() error

// A form is what a way can pass.
type form int

const (
	single  form = iota // one descriptor in a message
	any                 // up to 253
	batched             // one in each of 16 messages
	bare                // one without a payload, on a seqpacket socket
)

// A load is what is passed.
type load struct {
	name     string
	kind     int // of socket
	count    int // of descriptors in a message
	payload  int // bytes in a message
	messages int // in a call
	takes    []form
}

var loads = []load{
	{"one descriptor and a byte, stream", unix.SOCK_STREAM, 1, 1, 1, []form{single, any}},
	{"one descriptor and a byte, seqpacket", unix.SOCK_SEQPACKET, 1, 1, 1, []form{single, any}},
	{"one descriptor and no payload, seqpacket", unix.SOCK_SEQPACKET, 1, 0, 1, []form{bare}},
	{"one descriptor and a byte in each of 16 messages, seqpacket", unix.SOCK_SEQPACKET, 1, 1, 16, []form{batched}},
	{"16 descriptors and a byte, stream", unix.SOCK_STREAM, 16, 1, 1, []form{any}},
	{"253 descriptors and a byte, stream", unix.SOCK_STREAM, 253, 1, 1, []form{any}},
}
