// Package spectest has what the Ginkgo suites of package scm, of its torture and of its
// soak share.
package spectest
