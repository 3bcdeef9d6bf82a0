//go:build unix

package fdleak_test

import (
	"os"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdleak"
)

// This test fails if it leaves a descriptor open. Without the last Close, the failure message would name
// the line that calls RecvFile.
func ExampleCheck() {
	_ = func(t *testing.T) { // func TestHandover(t *testing.T)
		fdleak.Check(t)
		a, b, err := scm.Pair("unix")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		defer b.Close()
		if err := a.SendFile("null", os.Stdin); err != nil {
			t.Fatal(err)
		}
		f, err := b.RecvFile()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
}

// Main checks all tests of a package, including parallel ones.
func ExampleMain() {
	_ = func(m *testing.M) { fdleak.Main(m) } // func TestMain(m *testing.M)
}

// A type with its own Run method can do setup before all tests and clean up after them.
func ExampleMain_wrapped() {
	_ = func(m *testing.M) { fdleak.Main(withFolder{m}) } // func TestMain(m *testing.M)
}

type withFolder struct{ *testing.M }

func (m withFolder) Run() int {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	return m.M.Run()
}
