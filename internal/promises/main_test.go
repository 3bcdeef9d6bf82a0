//go:build unix

package main

import "testing"

func TestPromises(*testing.T) { main() }
