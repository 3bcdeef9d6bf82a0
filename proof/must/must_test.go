package must

import (
	"errors"
	"io"
	"strconv"
	"testing"
)

func TestTry(t *testing.T) {
	for _, c := range []struct {
		f    func()
		want error
	}{
		{func() { OK(nil) }, nil},
		{func() { OK(io.EOF) }, io.EOF},
		{func() { Get(strconv.Atoi("x")) }, strconv.ErrSyntax},
		{func() { Failf("read: %w", io.EOF) }, io.EOF},
	} {
		if err := Try(c.f); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	defer func() {
		if recover() != "a fault" {
			t.Error("Try has recovered from another panic")
		}
	}()
	_ = Try(func() { panic("a fault") })
}
