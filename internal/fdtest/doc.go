// Package fdtest counts, compares and describes open descriptors, for tests and for package fdleak. It
// also waits for servers to listen and for processes to end.
//
// A total of open descriptors proves nothing: runtimes open some of their own.
// A leak is a number that holds a file of the test and that nobody owns.
package fdtest
