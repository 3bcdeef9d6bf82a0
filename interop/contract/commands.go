package contract

import "math"

// SocketTypes are the types of socket that scenarios run on.
var SocketTypes = []string{"stream", "dgram", "seqpacket"}

// Commands are the commands that every peer understands.
//
// A new command for peers is added here: a form, and the kinds of its fields that have none yet.
// interop/peers/README.md describes it, and Peer.answer in interop/peers/go/peer carries it out.
// Code that treats received messages specially looks for the command "recv" by name.
var Commands = new(Vocabulary).Extend(Definitions{
	Forms: []Form{
		{Usage: "hello"}, // ParseHello parses the answer
		{Usage: "use sock=N [fds=N,…]"},
		{Usage: "send payload=P fds=x,… [at=K] [flags=F]", Gives: "n"},
		{Usage: "recv bytes=N fds=N [at=K] [flags=F]", Gives: "n payload fds [flags]"},
		{Usage: "close fds=x,…"},
		{Usage: "end"},
	},
	Kinds: map[string]Kind{
		"sock":              Integer(0, math.MaxInt32),
		"use.fds close.fds": IntegerList(Integer(0, math.MaxInt32), 0, math.MaxInt),
		"send.fds":          IntegerList(Integer(math.MinInt32, math.MaxInt32), 0, math.MaxInt),
		"recv.fds":          Integer(0, math.MaxUint16), // how many descriptors to receive
		"payload":           KindOf(ParsePayload),
		"bytes":             KindOf(ParseRoom),
		"at":                Integer(0, math.MaxInt),
		"send.flags":        WordList("dontwait", "nosignal", "eor", "oob", "more"),
		"recv.flags":        WordList("dontwait", "peek", "trunc", "waitall", "oob"),
	},
	FDFields: []string{"fds"},
})
