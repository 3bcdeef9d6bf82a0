package contract

import "testing"

func TestNameErrno(t *testing.T) {
	for answer, want := range map[string]string{
		"err 104":        "err ECONNRESET",
		"err 11":         "err EAGAIN",
		"err EPIPE":      "err EPIPE",
		"err 4095":       "err 4095",
		"err lib 5 lost": "err lib 5 lost",
		"ok n=1":         "ok n=1",
		"err":            "err",
	} {
		if got := NameErrno(answer); got != want {
			t.Errorf("%q: got %q, want %q", answer, got, want)
		}
	}
}
