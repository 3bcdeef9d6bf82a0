// Package torture fails each system call of the functions of package scm in every way, kills the process around it, and
// checks the law of descriptors after each. It leaves out functions of which proof/difftest shows as much.
package torture
