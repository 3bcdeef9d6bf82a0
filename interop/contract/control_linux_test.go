package contract

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "24": 24, "0x10": 16,
		"len(0)": unix.CmsgLen(0), "len(2)": unix.CmsgLen(8), "space(3)": unix.CmsgSpace(12),
		"len(1)-1": unix.CmsgLen(4) - 1, "space(1)+creds": unix.CmsgSpace(4) + unix.CmsgSpace(unix.SizeofUcred), "1+2-3+4": 4,
	} {
		if got, err := Size(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-5", "len", "len(1", "len(-1)", "space(99999999999)", "len()", "len(x)", "1+", "+", "size(1)", "1 2"} {
		if got, err := Size(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestItems(t *testing.T) {
	for text, want := range map[string][]string{
		"a":                              {"a"},
		"rights(1,2),creds(),hex(00)":    {"rights(1,2)", "creds()", "hex(00)"},
		"2*cmsg(1,2,00):len=3,rights(1)": {"2*cmsg(1,2,00):len=3", "rights(1)"},
	} {
		if got := items(text); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

// A short item makes no control buffer that fills the memory, and what is none is refused.
func TestParseControl(t *testing.T) {
	for text, want := range map[string]int{
		"rights(7)": unix.CmsgSpace(4), "rights()": unix.CmsgSpace(0), "creds()": unix.CmsgSpace(12), "creds(A)": unix.CmsgSpace(12), "creds(B,0,-1)": unix.CmsgSpace(12),
		"hex(00ff)": 2, "hex()": 0, "3*rights(7),hex(00)": 3*unix.CmsgSpace(4) + 1, "rights(7):more=00ff:len=3": unix.CmsgSpace(6),
		"70000*cmsg(99,1,-)": 70000 * unix.CmsgSpace(0), "0*rights(1)": 0,
	} {
		if _, err := ParseControl(text); err != nil || controlSize(text) != want {
			t.Errorf("%s: %d bytes, %v; want %d", text, controlSize(text), err, want)
		}
	}
	for _, text := range []string{"", "rights", "rights(", "rights(a)", "left(1)", "cmsg(1,2)", "cmsg(a,b,00)", "cmsg(1,2,0)", "cmsg(4294967296,1,-)", "hex(0)", "hex(00):len=1", "x*rights(1)",
		"rights(1)len=1", "rights(4294967296)", "rights(1):len=", "rights(1):len=x", "rights(1):len=-5", "rights(1):color=1", "rights(1):type=x", "rights(1):type=4294967296", "rights(1):more=0",
		"1000*1000*1000*rights()", "1000000000*rights()", "-1*rights()", "2*2*rights()", "67108864*rights(1,2)"} {
		if list, err := ParseControl(text); err == nil {
			t.Errorf("%q is %v", text, list)
		}
	}
}
