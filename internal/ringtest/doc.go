// Package ringtest creates io_urings with fixed files for tests. It exists on Linux only.
package ringtest
