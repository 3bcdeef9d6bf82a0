// Package machine boots a Linux kernel in an emulated machine, runs commands in it, and returns the files
// that they wrote.
//
//	fetch.go      packages of Debian, from a mirror
//	tree.go       the file tree of the machine, an initramfs
//	machine.go    the machine
//	init/         the first process in it
//	console/      how it runs commands, and how their results leave the machine
//
// Nothing is installed, and nothing needs root. The machine has one processor, no disk and no network. Its clock
// counts the instructions that it executes (-icount), so a busy host does not make a call in it time out.
package machine
