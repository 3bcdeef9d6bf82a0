package programs

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/programs/testserver"
)

// short is for servers that keep descriptors forever, and limit for those that do not: Poke then ends as soon as they have
// closed them.
const short = 10 * time.Millisecond

// found returns the findings as "WHAT CHECK", and the items without a verdict as "WHAT skipped".
func found(trials []Trial) (list []string) {
	for _, t := range trials {
		for _, f := range t.Findings {
			list = append(list, t.What+" "+string(f.Check))
		}
		if t.Skipped != "" {
			list = append(list, t.What+" skipped")
		}
	}
	return list
}

func poke(t *testing.T, o PokeOptions) []Trial {
	t.Helper()
	o.Timeout = limit
	trials, err := Poke(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return trials
}

// Each bug is found by the items that can show it, and no honest server is reported.
func TestPoke(t *testing.T) {
	leaks := func(items ...string) (list []string) {
		for _, item := range items {
			list = append(list, item+" leak")
		}
		return list
	}
	for mode, want := range map[string][]string{
		"honest": nil, "late": nil, "gc": nil, "forks": nil, "once": nil, testserver.Store: nil,
		// It ends after each line that it does not know, also without a descriptor.
		"strict":   {"newline skipped", "4k skipped"},
		"all":      leaks(Items...),
		"second":   leaks("253"),
		"rejected": leaks("newline", "4k", "second", "253", "path"),
		"ebadf":    {"path crash"},
		"opath":    {"path crash"},
		"deaf":     {"newline refuses", "4k refuses", "second refuses", "253 refuses", "path refuses"},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			args, address := testServer(t, mode, "stream")
			o := PokeOptions{Args: args, Address: address, Settle: limit}
			if slices.Contains(testserver.Faulty, mode) {
				o.Settle = short
			}
			trials := poke(t, o)
			if got := found(trials); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q\n%+v", got, want, trials)
			}
		})
	}
}
