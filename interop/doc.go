// Package interop plays scenarios of descriptor passing with peers: programs
// in any language that speak the contract of interop/peers/README.md.
//
// It is a judge, and uses nothing of what it judges: neither package scm nor
// its C library. What a peer says of a descriptor is not believed: the kernel
// is asked. It runs on Linux.
package interop
