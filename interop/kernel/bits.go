package kernel

import (
	"fmt"

	"github.com/scm-rights/scm/interop/contract"
)

// Bits maps the words of a field to constants of the operating system. A value of the field
// combines some of these constants with bitwise OR.
type Bits struct {
	words []string
	bits  map[string]int
}

// BitsOf returns the Bits for a field that is a key of Words. It panics unless bits has a constant
// for each word of the field, and no other constants.
func BitsOf(field string, bits map[string]int) Bits {
	words := Words[field]
	for _, w := range words {
		if _, ok := bits[w]; !ok {
			panic(fmt.Sprintf("kernel: no constant for the word %s of %s", w, field))
		}
	}
	if len(bits) != len(words) {
		panic(fmt.Sprintf("kernel: %d constants for the %d words of %s", len(bits), len(words), field))
	}
	return Bits{words, bits}
}

// Sum returns the bitwise OR of the constants for the given words. It panics if there is no
// constant for one of them.
func (b Bits) Sum(words ...string) (sum int) {
	for _, w := range words {
		bit, ok := b.bits[w]
		if !ok {
			panic("kernel: no constant for " + w)
		}
		sum |= bit
	}
	return sum
}

// Names returns the words whose bits are set in sum, separated by commas, in the order of Words.
// It returns "-" if no bit is set.
func (b Bits) Names(sum int) string {
	var list []string
	for _, w := range b.words {
		if sum&b.bits[w] != 0 {
			list = append(list, w)
		}
	}
	return contract.List(list)
}

// Name returns the word for a constant, or "" if it has no word.
func (b Bits) Name(constant int) string {
	for _, w := range b.words {
		if b.bits[w] == constant {
			return w
		}
	}
	return ""
}
