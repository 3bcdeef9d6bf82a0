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
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, width, height, width, height, body)
}

// ratios draws a bar for each row. The longest bar, followed by its value, ends at the right edge.
func ratios(rows []row) []byte {
	const width, left, number = 960, 300, 60
	longest := 1.0
	for _, r := range rows {
		longest = max(longest, r.Ratio)
	}
	unit := (width - left - number) / longest
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
	return svg(width, y+20, body+fmt.Sprintf("<path d=\"M%.0f 20V%d\" stroke=\"black\" stroke-dasharray=\"3\"/>\n", left+unit, y+8))
}

// curve draws on logarithmic axes the cost of a descriptor by the number of descriptors per message, relative to a
// single descriptor in C.
func curve(rows []row) []byte {
	const left, step, margin = 60, 75, 20
	type point struct {
		row
		load
		height float64 // the binary logarithm of the relative cost
	}
	var points []point
	alone, highest, lowest := 0.0, 0.0, -4.0
	for _, l := range loads {
		if l.kind != unix.SOCK_STREAM || l.goroutines > 1 {
			continue
		}
		some := of(rows, l)
		c := some[slices.IndexFunc(some, func(r row) bool { return r.Way == "C" })].Nanoseconds
		alone = max(alone, c)
		for _, r := range some {
			if r.Way == "C" || r.Way == "x/sys" || r.Way == "net.UnixConn" || strings.HasSuffix(r.Way, ": Send, Recv") {
				height := math.Log2(r.Ratio * c / alone)
				points = append(points, point{r, l, height})
				highest, lowest = max(highest, height), min(lowest, height)
			}
		}
	}
	y := func(height float64) float64 { return margin + (highest-height)*step }
	lowest = math.Floor(lowest)
	bottom := int(y(lowest)) + 2*margin
	body := ""
	for height := 0.0; height >= lowest; height-- {
		body += fmt.Sprintf("<text x=\"10\" y=\"%.0f\">%.4g</text>\n", y(height)+4, math.Exp2(height))
	}
	before := map[string]point{}
	count, label := 0, 0.0
	for _, p := range points {
		x := func(p point) float64 { return left + math.Log2(float64(p.count))*step }
		if p.count != count {
			count, label = p.count, float64(bottom-margin)
			body += fmt.Sprintf("<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x(p), bottom, p.count)
		}
		if was, ok := before[p.Way]; ok {
			body += fmt.Sprintf("<path d=\"M%.0f %.0fL%.0f %.0f\" stroke=\"%s\" stroke-width=\"2\"/>\n", x(was), y(was.height), x(p), y(p.height), colour(p.Way))
		}
		before[p.Way] = p
		if p.count == 253 {
			label = min(y(p.height)+4, label-14) // the points are sorted by cost, the cheapest first
			body += fmt.Sprintf("<text x=\"%.0f\" y=\"%.0f\" fill=\"%s\">%s</text>\n", x(p)+8, label, colour(p.Way), p.Way)
		}
	}
	return svg(left+8*step+180, bottom+margin, body)
}

// colour returns a colour for a way: there is one for C, each backend of scm, x/sys and all others.
func colour(way string) string {
	for _, c := range [][2]string{{"C", "#444"}, {"scm cgo", "#1a9850"}, {"scm", "#2b6cb0"}, {"x/sys", "#d95f0e"}} {
		if strings.HasPrefix(way, c[0]) {
			return c[1]
		}
	}
	return "#999"
}
