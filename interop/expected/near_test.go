package expected

import "testing"

func TestNear(t *testing.T) {
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
		if near := Near(word, names); near != want {
			t.Errorf("Near(%q) is %q, want %q", word, near, want)
		}
	}
}
