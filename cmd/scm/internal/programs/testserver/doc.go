// Package testserver is a server that receives descriptors, for the tests of package programs. Its mode says which bug
// it has, or what a correct server does that must not be taken for one. It exists on Linux only.
//
// A message is a line. "take N" carries N descriptors, and "ping" none; the answer is "ok". Otherwise, also if the
// number of descriptors differs, the answer is "error".
package testserver
