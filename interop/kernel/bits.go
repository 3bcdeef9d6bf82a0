package kernel

import (
	"slices"

	"github.com/scm-rights/scm/interop/contract"
)

// Bits pair the words of a field with the constants of the system. A value is the sum of some of
// the constants.
type Bits struct {
	words []string
	bits  []int
}

// BitsOf returns the Bits of a field of Words. It panics unless there is one constant for each of
// the words. The constants are in the order of the words.
func BitsOf(field string, bits ...int) Bits {
	if len(bits) != len(Words[field]) {
		panic("kernel: not one constant for each word of " + field)
	}
	return Bits{Words[field], bits}
}

// Sum returns the sum of the constants of some words.
func (b Bits) Sum(words ...string) (sum int) {
	for _, w := range words {
		sum |= b.bits[slices.Index(b.words, w)]
	}
	return sum
}

// Names returns the words of the constants that a value is the sum of, or "-".
func (b Bits) Names(sum int) string {
	var list []string
	for i, w := range b.words {
		if sum&b.bits[i] != 0 {
			list = append(list, w)
		}
	}
	return contract.List(list)
}

// Name returns the word of a constant, or "" if it has none.
func (b Bits) Name(constant int) string {
	if i := slices.Index(b.bits, constant); i >= 0 {
		return b.words[i]
	}
	return ""
}
