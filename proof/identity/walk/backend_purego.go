//go:build linux && (!cgo || purego || scm_purego)

package main

import (
	"github.com/scm-rights/scm/internal/pure"
	"github.com/scm-rights/scm/proof/difftest"
)

var backend = difftest.Backend{
	Name: "pure", WriteFD: pure.WriteFD, ReadFD: pure.ReadFD, Send: pure.Send, Recv: pure.Recv,
}
