// Package contract is the language of interop/peers/README.md: commands and answers, what
// a peer says of itself, and the calls that the runner's own side makes.
package contract
