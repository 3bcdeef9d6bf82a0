package contract

import "math"

// SocketTypes lists the types of socket on which scenarios run.
var SocketTypes = []string{"stream", "dgram", "seqpacket"}

// The flags that a scenario can pass to a peer.
var (
	sendFlags = []string{"dontwait", "nosignal", "eor", "oob", "more"}
	recvFlags = []string{"dontwait", "peek", "trunc", "waitall", "oob"}
)

// Commands contains the commands that every peer implements.
//
// To add a command for peers, add its form here, and a kind for each field that does not have one
// yet. Describe the command in interop/peers/README.md, and implement it in newPeer in
// interop/peers/go/peer/peer.go. Code that treats received messages differently from other answers checks
// for the command name "recv".
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
		"send.flags":        WordList(sendFlags...),
		"recv.flags":        WordList(recvFlags...),
	},
	FDFields: []string{"fds"},
})
