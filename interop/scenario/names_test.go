package scenario

import (
	"strings"
	"testing"
)

func TestExpandNames(t *testing.T) {
	for _, c := range []struct{ items, want string }{
		{"a", "a"},
		{"a*3", "a,a,a"},
		{"a7*2", "a7,a7"},
		{"a9..a11", "a9,a10,a11"},
		{"a5..a5", "a5"},
		{"b,a1..a2,c*2,closed", "b,a1,a2,c,c,closed"},
		{"-1,12,a:x", "-1,12,a:x"},
	} {
		got, err := expandNames(strings.Split(c.items, ","))
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s: got %v, %v; want %s", c.items, got, err, c.want)
		}
	}
	for _, item := range []string{"a*", "a*0", "a*x", "7*3", "*3", "a1..a3*2", "a*99999", "a..b", "a1..b2", "1..2", "a3..a1", "a1..a99999"} {
		if got, err := expandNames([]string{item}); err == nil || !strings.Contains(err.Error(), item) {
			t.Errorf("%s: got %v, %v", item, got, err)
		}
	}
}
