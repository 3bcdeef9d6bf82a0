// Package process starts peers and speaks with them. It says and hears lines, and judges none.
package process
