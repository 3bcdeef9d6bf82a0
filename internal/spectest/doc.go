// Package spectest has helpers for Ginkgo suites.
package spectest
