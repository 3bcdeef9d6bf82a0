package expected

import "testing"

func TestDidYouMean(t *testing.T) {
	names := []string{"scm-pidfd-alone", "scm-pidfd-live", "stream", "dgram", "one", "a"}
	for word, want := range map[string]string{
		"scm-pidfd-alnoe": "scm-pidfd-alone",
		"scm-pidfd-lives": "scm-pidfd-live",
		"scm-pidfd":       "",
		"strem":           "stream",
		"dgarm":           "dgram",
		"noe":             "one",
		"b":               "",
		"":                "",
	} {
		if want != "" {
			want = didYouMean(want)
		}
		if got := DidYouMean(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
