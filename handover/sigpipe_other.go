//go:build !unix

package handover

func catchSIGPIPE() {}
