// Package reference is the runner's own side of a case: a process that understands the commands of a
// peer and makes the calls of package kernel. It makes each system call with the arguments of the
// command, including control messages that no library would send.
package reference
