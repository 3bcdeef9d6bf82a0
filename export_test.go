//go:build linux

package scm

// For the specs, which are in a package of their own.

// AnonymousKind is anonymousKind: a kernel has one form of each name.
var AnonymousKind = anonymousKind

// SetOption is pass for any option: a kernel that lacks the real ones is rare.
var SetOption = pass
