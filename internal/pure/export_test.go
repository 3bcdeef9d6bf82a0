//go:build linux

package pure

var (
	TakeControl = takeControl
	PairFD      = pairFD
)
