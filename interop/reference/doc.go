// Package reference implements the process by which the runner itself takes part in a case. This
// process supports the commands of a peer and the calls of package kernel. It makes each system
// call with exactly the arguments of the command, even with control messages that no library would
// send.
package reference
