// Package programs tests programs, in any language, that receive descriptors. It contains what scm poke and scm proxy test
// have in common: it starts a server, asks the kernel which descriptors the server keeps, and reports findings.
//
// Like the rest of the runner, it believes nothing that a program says. A [Marker] is a file that only this process can
// have passed on, so a server that has it open has received it.
package programs
