// Package reference implements the runner's own side of a case. It is a process that supports the
// commands of a peer and the calls of package kernel. It makes each system call with exactly the
// arguments of the command, even with control messages that no library would send.
package reference
