// Package programs tests programs, in any language, that receive descriptors. For scm poke,
// it starts a server, asks the kernel which descriptors the server keeps, and reports findings.
//
// Like the rest of the runner, it believes nothing that a program says. A [Marker] is a file that only this process can
// have passed on, so a server that has it open has received it.
//
// Poke works in rounds. A round sends the items to one server, and then waits until the server closes no more of them.
// Then it sends those that the server keeps again, once or twice. If the server keeps no more, it stores a limited
// number, and that is no leak. If the server fails, a control sends the bytes of the last message to a new server,
// without the descriptors. If that changes nothing, the descriptors are not the reason. Otherwise the failure must
// recur: twice, it must occur with the descriptors, and not without them.
//
// For example, a server keeps the descriptor of the item byte, and crashes after that of newline. The first round ends
// with the crash. Three servers get the newline alone, and survive. Two get it with a descriptor, and crash, so newline
// has its finding. The crash has also closed the descriptors that the first server kept. So the second round sends byte
// again, and all items after newline, and finds the leak. An item for which the first server's descriptor table was
// full also goes to a new server.
package programs
