package kernel

import (
	"slices"

	"github.com/scm-rights/scm/interop/contract"
)

// Bits maps the words of a field to constants of the operating system. A value of the field
// combines some of these constants with bitwise OR.
type Bits struct {
	words []string
	bits  []int
}

// BitsOf returns the Bits for a field that is a key of Words. The constants must be in the same
// order as the words. BitsOf panics unless there is exactly one constant for each word.
func BitsOf(field string, bits ...int) Bits {
	if len(bits) != len(Words[field]) {
		panic("kernel: not one constant for each word of " + field)
	}
	return Bits{Words[field], bits}
}

// Sum returns the bitwise OR of the constants for the given words.
func (b Bits) Sum(words ...string) (sum int) {
	for _, w := range words {
		sum |= b.bits[slices.Index(b.words, w)]
	}
	return sum
}

// Names returns the words whose bits are set in sum, separated by commas. It returns "-" if there
// are none.
func (b Bits) Names(sum int) string {
	var list []string
	for i, w := range b.words {
		if sum&b.bits[i] != 0 {
			list = append(list, w)
		}
	}
	return contract.List(list)
}

// Name returns the word for a constant, or "" if there is none.
func (b Bits) Name(constant int) string {
	if i := slices.Index(b.bits, constant); i >= 0 {
		return b.words[i]
	}
	return ""
}
