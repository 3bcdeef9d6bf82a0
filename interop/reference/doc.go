// Package reference implements the process that the runner starts when it takes a role in a case
// itself. This process supports the commands of the peer contract and the calls in
// kernel.CallUsages. It makes each system call with exactly the arguments of the command, even
// with control messages that no library would send.
package reference
