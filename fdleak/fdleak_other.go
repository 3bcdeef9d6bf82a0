//go:build !linux

package fdleak

import (
	"runtime"
	"time"
)

func unchecked() string { return "this needs Linux, not " + runtime.GOOS }

type snapshot struct{}

func take() *snapshot                 { return new(snapshot) }
func (*snapshot) poll() (bool, error) { return false, nil }
func (*snapshot) describe() []string  { return nil }
func sleep(time.Duration)             {}
