// Package fdtest counts, compares and describes open descriptors, for tests and for package fdleak. It
// also waits for conditions, such as that a server listens or that a process has ended.
//
// The number of open descriptors alone proves nothing, because runtimes open some of their own. A leak is a
// descriptor of one of the test's files that the test does not own.
package fdtest
