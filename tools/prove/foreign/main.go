//go:build linux

// Package foreign runs the tests and the interop matrix on platforms other than the machine's own: other
// architectures, under qemu-user where it must, and another libc.
//
// On each platform it builds the tests and the peers, runs the tests, and plays the catalogue between
// the platform's peers and the machine's own. Where the machine runs another architecture's programs
// itself, that one's runner asks the kernel what the catalogue has for it. It ends with a table, and
// with 1 if anything failed. What is left out is named with the reason. A platform without its tools is
// named, and an error where CI=true.
package foreign

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/internal/target"
)

// The runner, and a peer of each language, for the machine itself.
var nativeSCM, nativeCSRC string

// outcome is the result on a platform.
type outcome struct {
	platform
	tests          count
	c              string // what the C library's own tests said
	matrix, kernel matrixTotals
	testTime       time.Duration // building included, as in the other
	matrixTime     time.Duration
	err            error
}

// Prove runs all there is for the platforms of the architectures, or for all platforms.
func Prove(archs []string) error {
	var list []outcome
	for _, p := range platforms() {
		if len(archs) == 0 || slices.Contains(archs, p.Arch) {
			list = append(list, outcome{platform: p})
		}
	}
	for _, arch := range archs {
		if !slices.ContainsFunc(list, func(o outcome) bool { return o.Arch == arch }) {
			return fmt.Errorf("%s is none of the platforms' architectures", arch)
		}
	}
	if err := buildNative(); err != nil {
		return err
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i := range list {
		slots <- struct{}{}
		wait.Go(func() {
			list[i].run()
			<-slots
		})
	}
	wait.Wait()
	if !tell(list) {
		return errors.New("not all is well")
	}
	return nil
}

// buildNative builds what is the same on every platform.
func buildNative() error {
	out, err := filepath.Abs("build/foreign/native")
	if err != nil {
		return err
	}
	nativeSCM, nativeCSRC = filepath.Join(out, "scm"), filepath.Join(out, "csrc")
	if text, err := exec.Command("go", "build", "-o", nativeSCM, "./cmd/scm").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	_, err = platform{target.Target{Compiler: []string{"cc"}}}.makeC("interop/peers/c", "OUT="+out, "csrc")
	return err
}

// run runs all there is for a platform, and says when it has.
func (o *outcome) run() {
	started := time.Now()
	o.err = o.runAll()
	what := "done"
	switch {
	case o.err != nil:
		what = o.err.Error()
	case o.failed():
		what = "failed"
	}
	fmt.Printf("foreign: %s: %s, %.0f s\n", o.name(), what, time.Since(started).Seconds())
}

func (o *outcome) runAll() (err error) {
	if err := o.tools(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out(""), 0o777); err != nil {
		return err
	}
	started := time.Now()
	if o.tests, err = o.runSuites(); err != nil {
		return err
	}
	if o.cc() != "" && o.Native() {
		if o.c, err = o.runC(); err != nil {
			return err
		}
	}
	o.testTime = time.Since(started)
	if o.matrix, err = o.runMatrix(); err != nil {
		return err
	}
	if o.ownRunner() {
		o.kernel, err = o.runKernel()
	}
	o.matrixTime = time.Since(started) - o.testTime
	return err
}

// failed reports whether anything went wrong, and not whether the platform was there.
func (o *outcome) failed() bool {
	return o.err != nil && !errors.Is(o.err, errMissing) || o.tests.failed > 0 || len(o.matrix.failures)+len(o.kernel.failures) > 0
}
