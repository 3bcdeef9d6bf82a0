package fdtest

import (
	"testing"
	"time"
)

// Eventually waits until a condition holds. If it does not within a minute, Eventually ends the test with its name.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}
