// Package reference is the side that the runner plays itself: a process that speaks the
// contract, as peers do, and makes system calls as it is told, with control messages that
// no library would send. Its words are told in interop/catalogue/README.md.
package reference
