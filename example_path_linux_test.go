package scm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm"
)

// sun_path holds 107 bytes. A longer path is reached by way of its folder.
func ExampleDial_longPath() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "scm")
	must(err)
	defer os.RemoveAll(dir)
	deep := filepath.Join(dir, strings.Repeat("deep/", 30))
	must(os.MkdirAll(deep, 0o700))
	path := filepath.Join(deep, "socket")

	l, err := scm.Listen(ctx, "unix", path)
	must(err)
	defer l.Close()
	c, err := scm.Dial(ctx, "unix", path)
	must(err)
	defer c.Close()
	fmt.Println(len(path) > 107, l.Addr().String() == path)
	// Output: true true
}

// An abstract name has no file, and is gone with its socket.
func ExampleDial_abstract() {
	ctx := context.Background()
	l, err := scm.Listen(ctx, "unixpacket", "") // Linux chooses one
	must(err)
	c, err := scm.Dial(ctx, "unixpacket", l.Addr().String())
	must(err)
	c.Close()
	l.Close()
	_, err = scm.Dial(ctx, "unixpacket", l.Addr().String())
	fmt.Println(err != nil)
	// Output: true
}
