// Package fusetest serves a FUSE file system for tests. Its server can stop answering, like that of
// a hostile partner that passes a file of its own file system.
package fusetest
