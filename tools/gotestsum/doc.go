// Package gotestsum pins gotestsum, which runs the tests in CI. In a module of its own, what gotestsum requires is not
// required of programs that import the library.
package gotestsum
