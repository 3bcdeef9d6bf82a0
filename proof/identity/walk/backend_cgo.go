//go:build linux && cgo && !purego && !scm_purego

package main

import (
	"github.com/scm-rights/scm/csrc"
	"github.com/scm-rights/scm/proof/difftest"
)

var backend = difftest.Backend{
	Name: "csrc", WriteFD: csrc.WriteFD, ReadFD: csrc.ReadFD, Send: csrc.Send, Recv: csrc.Recv,
}
