// Package torture fails each system call of each function of package scm in every way,
// kills the process around it, and checks the law of descriptors after each.
package torture
