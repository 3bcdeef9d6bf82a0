// Package fusetest serves a file system whose server may be silent, for tests: a partner
// can pass a file that it serves itself, and then not answer.
package fusetest
