package scenario

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// last is the largest number that a name can have in a range.
var last = strconv.Itoa(math.MaxInt)

func TestExpandNames(t *testing.T) {
	for _, c := range []struct{ items, want string }{
		{"a", "a"},
		{"a,b", "a,b"},
		{"a*3", "a,a,a"},
		{"a7*2", "a7,a7"},
		{"a1..a3", "a1,a2,a3"},
		{"a9..a11", "a9,a10,a11"},
		{"a5..a5", "a5"},
		{"b,a1..a2,c*2,closed", "b,a1,a2,c,c,closed"},
		{"-1,12", "-1,12"},
		{"a:x", "a:x"},
	} {
		got, err := expandNames(strings.Split(c.items, ","))
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s: got %v, %v; want %s", c.items, got, err, c.want)
		}
	}
	if got, err := expandNames([]string{"a" + strconv.Itoa(math.MaxInt-1) + "..a" + last}); err != nil || len(got) != 2 || got[1] != "a"+last {
		t.Errorf("the last two names: got %v, %v", got, err)
	}
	if got, err := expandNames([]string{"a1..a1000"}); err != nil || len(got) != 1000 || got[999] != "a1000" {
		t.Errorf("got %d names, %v", len(got), err)
	}
}

func TestExpandNamesErrors(t *testing.T) {
	const most = " stands for more than 1000 names"
	for _, c := range []struct{ items, want string }{
		{"a*", `not NAME*N: "a*"`},
		{"a*0", `not NAME*N: "a*0"`},
		{"a*-1", `not NAME*N: "a*-1"`},
		{"a*x", `not NAME*N: "a*x"`},
		{"*3", `not NAME*N: "*3"`},
		{"7*3", `not NAME*N: "7*3"`},
		{"a1..a3*2", `not NAME*N: "a1..a3*2"`},
		{"a*1001", `"a*1001"` + most},
		{"a*99999999999999999999", `"a*99999999999999999999"` + most},
		{"b,a*1000", `"a*1000"` + most},
		{"a..b", `not NAME1..NAME9: "a..b"`},
		{"a1..b2", `not NAME1..NAME9: "a1..b2"`},
		{"1..2", `not NAME1..NAME9: "1..2"`},
		{"a1..2", `not NAME1..NAME9: "a1..2"`},
		{"a3..a1", `"a3..a1" goes backwards`},
		{"a0..a1000", `"a0..a1000"` + most},
		{"a1..a99999999999999999999", `"a1..a99999999999999999999"` + most},
		{"a,a*9223372036854775807", `"a*9223372036854775807"` + most},
		{"a1,a0..a9223372036854775807", `"a0..a9223372036854775807"` + most},
		{"a0..a9223372036854775807", `"a0..a9223372036854775807"` + most},
		{"a" + last + "..a0", `"a` + last + `..a0" goes backwards`},
	} {
		if got, err := expandNames(strings.Split(c.items, ",")); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, %v; want %s", c.items, got, err, c.want)
		}
	}
	if _, err := expandNames(slices.Repeat([]string{"a"}, 1001)); err == nil || err.Error() != "more than 1000 names" {
		t.Errorf("a list of 1001: %v", err)
	}
}
