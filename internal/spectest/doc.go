// Package spectest has what the Ginkgo suites of package scm and of its torture share.
package spectest
