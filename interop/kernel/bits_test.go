package kernel

import (
	"fmt"
	"strings"
	"testing"
)

func TestBits(t *testing.T) {
	prot := BitsOf("mmap prot", map[string]int{"write": 2, "read": 1})
	if sum := prot.Sum("write", "read"); sum != 3 {
		t.Errorf("Sum: got %d, want 3", sum)
	}
	for sum, want := range map[int]string{0: "-", 2: "write", 3: "read,write", 7: "read,write"} {
		if got := prot.Names(sum); got != want {
			t.Errorf("Names(%d): got %s, want %s", sum, got, want)
		}
	}
	for constant, want := range map[int]string{1: "read", 2: "write", 3: ""} {
		if got := prot.Name(constant); got != want {
			t.Errorf("Name(%d): got %q, want %q", constant, got, want)
		}
	}
}

// A word without a constant, a constant without a word, and a word of another field are mistakes in
// the program.
func TestBitsPairsEveryWord(t *testing.T) {
	prot := map[string]int{"read": 1, "write": 2}
	for want, do := range map[string]func(){
		"no constant for the word write": func() { BitsOf("mmap prot", map[string]int{"read": 1, "exec": 4}) },
		"3 constants for the 2 words":    func() { BitsOf("mmap prot", map[string]int{"read": 1, "write": 2, "exec": 4}) },
		"2 constants for the 0 words":    func() { BitsOf("mmap protection", prot) },
		"no constant for exec":           func() { BitsOf("mmap prot", prot).Sum("exec") },
	} {
		if got := panicOf(do); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func panicOf(do func()) (message string) {
	defer func() { message = fmt.Sprint(recover()) }()
	do()
	return ""
}
