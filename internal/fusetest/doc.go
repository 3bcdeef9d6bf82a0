// Package fusetest serves a FUSE file system for tests. Its server can stop answering, as a hostile partner's
// server can that passes a file of its own file system.
package fusetest
