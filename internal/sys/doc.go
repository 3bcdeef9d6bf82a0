// Package sys asks the operating system what neither package syscall nor
// golang.org/x/sys asks.
package sys
