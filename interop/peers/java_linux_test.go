package peers

import "testing"

// So do Java's parseLong and HexFormat.
func TestJavaIsStrict(t *testing.T) {
	testStrict(t, "jnr-posix")
}
