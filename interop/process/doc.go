// Package process starts peers, sends them commands and reads their answers. It does not judge the answers.
package process
