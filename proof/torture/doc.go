// Package torture fails each system call of the functions of package scm in every way, kills the process around it, and
// checks after each that every installed descriptor was returned or closed. It leaves out functions of which
// proof/difftest shows as much.
package torture
