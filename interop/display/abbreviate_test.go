package display

import (
	"fmt"
	"strings"
	"testing"
)

// numbers returns the numbers from first to last, joined by a separator.
func numbers(first, last int, form, separator string) string {
	var list []string
	for i := first; i <= last; i++ {
		list = append(list, fmt.Sprintf(form, i))
	}
	return strings.Join(list, separator)
}

func TestAbbreviate(t *testing.T) {
	words := strings.Repeat("word 12345 ", 50)
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"B< ok n=5 payload=68656c6c6f fds=12,13 flags=ctrunc", "B< ok n=5 payload=68656c6c6f fds=12,13 flags=ctrunc"},
		{"fds=" + numbers(1, 12, "%d", ","), "fds=" + numbers(1, 12, "%d", ",")},
		{"fds=" + numbers(1, 13, "%d", ","), "fds=1,2,…,13 (13)"},
		{"A> send payload=00 fds=" + numbers(429, 681, "%d", ",") + " at=7", "A> send payload=00 fds=429,430,…,681 (253) at=7"},
		{"payload=00" + strings.Repeat(",00", 1024) + " fds=a", "payload=00,00,… (1025) fds=a"},
		{"payload=" + numbers(0, 255, "%02x", ","), "payload=00,01,…,ff (256)"},
		{"payload=@5000" + strings.Repeat(",@5000", 19), "payload=@5000,@5000,… (20)"},
		{"payload=0a" + strings.Repeat(",0a", 11) + ",0b", "payload=0a,0a,…,0b (13)"},
		{"payload=" + numbers(0, 63, "%02x", ""), "payload=" + numbers(0, 63, "%02x", "")},
		{"payload=" + numbers(0, 64, "%02x", "") + " fds=-", "payload=000102030405060708090a0b0c0d0e0f… (65 bytes) fds=-"},
		{"fds=" + numbers(1, 253, "f%d", ","), "fds=f1,f2,…,f253 (253)"},
		{"got [" + numbers(3, 252, "%d", ", ") + "]", "got [3, 4, …, 252 (250)]"},
		{"err lib {invalid,{msg,[" + numbers(3, 252, "%d", ",") + "]}}", "err lib {invalid,{msg,[3,4,…,252 (250)]}}"},
		{"iov => [" + strings.Repeat("<<0>>,", 1024) + "<<0>>]", "iov => [<<0>>,<<0>>,… (1025)]"},
		{"g/{" + numbers(1, 20, "iov-%d-sent", ",") + "}", "g/{" + numbers(1, 20, "iov-%d-sent", ",") + "}"},
		{words, strings.TrimSuffix(words[:396], " ") + "…"},
		{"\xff" + strings.Repeat("x", 400), "\xff" + strings.Repeat("x", 398) + "…"},
		{"a\n" + strings.Repeat("x", 401) + "\n" + numbers(1, 13, "%d", ",") + "\n", "a\n" + strings.Repeat("x", 399) + "…\n1,2,…,13 (13)\n"},
	} {
		got := Abbreviate(c.in)
		if got != c.want {
			t.Errorf("Abbreviate(%q) =\n%q, want\n%q", c.in, got, c.want)
		}
		if again := Abbreviate(got); again != got {
			t.Errorf("Abbreviate(%q) = %q", got, again)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"0123456789", "0123456789"},
		{"one two three", "one two…"},
		{"one, twothree", "one…"},
		{"é é é é é é", "é é é é é…"},
		{"x=" + numbers(10, 40, "%d", ","), "x=10,11…"},
		{"a\nb", `a\nb`},
	} {
		if got := Shorten(c.in, 10); got != c.want {
			t.Errorf("Shorten(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := Shorten(strings.Repeat("x", 100), 60); got != strings.Repeat("x", 59)+"…" {
		t.Errorf("got %q", got)
	}
}
