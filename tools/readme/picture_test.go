//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

func TestPictureHasRoomForLongNamesAndTheLegend(t *testing.T) {
	name := strings.Repeat("x", 40)
	text := picture(&report.Report{Peers: []report.Peer{{Name: name}}})
	var width, height, x, y int
	if _, err := fmt.Sscanf(text[strings.Index(text, "viewBox="):], `viewBox="0 0 %d %d"`, &width, &height); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text      string
		wide      int // in pixels, at 6.7 a character
		endsThere bool
	}{
		{name + " 1", 281, true},
		{squares[3].legend, 170, false},
	} {
		before, _, _ := strings.Cut(text, ">"+c.text+"<")
		if _, err := fmt.Sscanf(before[strings.LastIndex(before, "<text"):], `<text x="%d" y="%d"`, &x, &y); err != nil {
			t.Fatal(err)
		}
		if c.endsThere {
			x -= c.wide
		}
		if x < 0 || x+c.wide > width || y > height {
			t.Errorf("%q is drawn from x=%d to %d, y=%d, in a picture of %d by %d", c.text, x, x+c.wide, y, width, height)
		}
	}
}
