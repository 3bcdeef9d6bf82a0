package scenario

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// A Shard is one of several parts of a plan. Which part a case is in depends on
// its name alone, so that it stays there when others come and go.
type Shard struct{ I, N int }

// ParseShard reads I/N: the first of three parts is 1/3.
func ParseShard(text string) (s Shard, err error) {
	i, n, _ := strings.Cut(text, "/")
	s.I, err = strconv.Atoi(i)
	if err == nil {
		s.N, err = strconv.Atoi(n)
	}
	if err != nil || s.I < 1 || s.I > s.N {
		return s, fmt.Errorf("%q is not I/N, from 1/N to N/N", text)
	}
	return s, nil
}

// Apply returns the cases of this part. A sender's cases of one scenario and type
// are in the same: what it does with the runner tells who is to blame in the others.
func (s Shard) Apply(cases []Case) (part []Case) {
	if s.N == 0 {
		return cases
	}
	for _, c := range cases {
		h := fnv.New32a()
		_, _ = h.Write([]byte(c.asSender())) // a hash takes everything
		if uint64(h.Sum32())%uint64(s.N) == uint64(s.I-1) {
			part = append(part, c)
		}
	}
	return part
}
