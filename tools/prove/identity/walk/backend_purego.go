//go:build linux && (!cgo || purego || scm_purego)

package main

import (
	"github.com/scm-rights/scm/internal/difftest"
	"github.com/scm-rights/scm/internal/pure"
)

var backend = difftest.Backend{
	Name: "pure", WriteFD: pure.WriteFD, ReadFD: pure.ReadFD, Send: pure.Send, Recv: pure.Recv, SendBatch: pure.SendBatch, RecvBatch: pure.RecvBatch,
}
