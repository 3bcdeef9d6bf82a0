//go:build linux && cgo

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func svg(width, height int, body string) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, width, height, body)
}

// ratios draws a bar for each row.
func ratios(rows []row) []byte {
	const left, unit = 300, 180
	body, y := "", 10
	for _, l := range loads {
		some := of(rows, l)
		if l.takes[0] == curved || len(some) == 0 {
			continue
		}
		y += 28
		body += fmt.Sprintf("<text x=\"10\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, l.name)
		for _, r := range some {
			y += 17
			body += fmt.Sprintf("<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text><rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"13\" fill=\"%s\"/><text x=\"%.0f\" y=\"%d\">%.2f</text>\n",
				left-6, y, r.Way, left, y-11, r.Ratio*unit, colour(r.Way), left+6+r.Ratio*unit, y, r.Ratio)
		}
	}
	return svg(960, y+20, body+fmt.Sprintf("<path d=\"M%d 20V%d\" stroke=\"black\" stroke-dasharray=\"3\"/>\n", left+unit, y+8))
}

// curve draws, on logarithmic axes, what a descriptor costs in larger messages as a part of one alone in C.
func curve(rows []row) []byte {
	const left, top, step = 60, 30, 75
	body, alone := "", 0.0
	for i := range 5 {
		body += fmt.Sprintf("<text x=\"10\" y=\"%d\">%.2f</text>\n", top+i*step+4, math.Exp2(float64(-i)))
	}
	before := map[string][2]float64{}
	for _, l := range loads {
		if l.kind != unix.SOCK_STREAM || l.goroutines > 1 {
			continue
		}
		x := left + math.Log2(float64(l.count))*step
		body += fmt.Sprintf("<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x, top+5*step, l.count)
		some, label := of(rows, l), math.Inf(1)
		c := some[slices.IndexFunc(some, func(r row) bool { return r.Way == "C" })].Nanoseconds
		alone = max(alone, c)
		for _, r := range some {
			if r.Way != "C" && r.Way != "x/sys" && r.Way != "net.UnixConn" && !strings.HasSuffix(r.Way, ": Send, Recv") {
				continue
			}
			y := top - math.Log2(r.Ratio*c/alone)*step
			if was, ok := before[r.Way]; ok {
				body += fmt.Sprintf("<path d=\"M%.0f %.0fL%.0f %.0f\" stroke=\"%s\" stroke-width=\"2\"/>\n", was[0], was[1], x, y, colour(r.Way))
			}
			before[r.Way] = [2]float64{x, y}
			if l.count == 253 {
				label = min(y+4, label-14) // the cheapest is the lowest
				body += fmt.Sprintf("<text x=\"%.0f\" y=\"%.0f\" fill=\"%s\">%s</text>\n", x+8, label, colour(r.Way), r.Way)
			}
		}
	}
	return svg(left+8*step+180, top+5*step+20, body)
}

// colour tells scm, C and the others apart.
func colour(way string) string {
	for _, c := range [][2]string{{"C", "#444"}, {"scm cgo", "#1a9850"}, {"scm", "#2b6cb0"}, {"x/sys", "#d95f0e"}} {
		if strings.HasPrefix(way, c[0]) {
			return c[1]
		}
	}
	return "#999"
}
