//go:build linux

package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

func TestJudge(t *testing.T) {
	const test, spec = "=== RUN   TestA\n    a_test.go:1: no\n--- SKIP: TestA (0.00s)\n", "\nskip: this is NetBSD (specs: 1)\n"
	for _, c := range []struct {
		name, text, failure string
		ok                  bool
	}{
		{"passed", "PASS\n", "", true},
		{"failed", "FAIL\n", "exit status 1", false},
		{"skipped", test + spec, "", true},
		{"a test without a reason", "=== RUN   TestA\n--- SKIP: TestA (0.00s)\n", "", false},
		{"a spec without a reason", "\nskip:  (specs: 1)\n", "", false},
	} {
		if err := judge(c.text, c.failure); (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestInitCompiles(t *testing.T) {
	cmd := exec.Command("go", "vet", "../machine/init")
	cmd.Env = append(os.Environ(), "GOOS=netbsd", "GOARCH=amd64", "CGO_ENABLED=0")
	must.Run(cmd)
}
