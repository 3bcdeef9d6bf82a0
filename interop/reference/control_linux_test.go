package reference

import "testing"

// A short item makes no control buffer that fills the memory.
func TestControlHasALimit(t *testing.T) {
	for _, item := range []string{"1000*1000*1000*rights()", "1000000000*rights()", "-1*rights()", "2*2*rights()"} {
		if b, err := cmsg(item); err == nil {
			t.Errorf("%s: %d bytes", item, len(b))
		}
	}
	if b, err := cmsg("70000*cmsg(99,1,-)"); err != nil || len(b) < 70000*16 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
