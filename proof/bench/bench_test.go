//go:build linux && cgo

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	echoIfAsked()
	m.Run()
}

// Every way passes each load that it supports, the ways of scm without files allocate nothing, and the pictures are
// valid. Times are not tested.
func TestRows(t *testing.T) {
	ways := append(ours(), others()...)
	var rows []row
	for _, l := range loads {
		some := play(l, l.of(ways), 1)
		if len(some) < 2 || some[0].Way != "C" || some[0].Nanoseconds <= 0 {
			t.Errorf("%s: got %+v", l.name, some)
		}
		for _, r := range some[1:] {
			if r.Ratio <= 0 {
				t.Errorf("%s: got %+v", l.name, r)
			}
			// The runtime itself may allocate.
			files := strings.HasSuffix(r.Way, "Files") || strings.HasSuffix(r.Way, "framed.Reader")
			if strings.HasPrefix(r.Way, "scm ") && !files && l.goroutines == 1 && r.Allocs > 0.5 {
				t.Errorf("%s: %s allocates %.1f times per pass", l.name, r.Way, r.Allocs)
			}
		}
		rows = append(rows, some...)
	}
	for _, w := range ways {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Way == w.name }) {
			t.Errorf("%s has no row", w.name)
		}
	}
	for _, picture := range [][]byte{ratios(rows), curve(rows)} {
		drawnInside(t, picture)
	}
}

var (
	numbers = regexp.MustCompile(`-?[0-9.]+`)
	corners = regexp.MustCompile(`([MLV])([-0-9. ]+)`)
)

// drawnInside checks that a picture is XML and that everything is drawn inside its viewBox.
func drawnInside(t *testing.T, picture []byte) {
	t.Helper()
	var width, height float64
	shapes := 0
	inside := func(what string, x, y float64) {
		shapes++
		if !(x >= 0 && x <= width && y >= 0 && y <= height) {
			t.Errorf("%s: (%.0f, %.0f) is outside %.0f by %.0f", what, x, y, width, height)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
		switch e := token.(type) {
		case xml.StartElement:
			attribute := map[string]string{}
			for _, a := range e.Attr {
				attribute[a.Name.Local] = a.Value
			}
			number := func(name string) float64 { return must(strconv.ParseFloat(attribute[name], 64)) }
			switch e.Name.Local {
			case "svg":
				if attribute["viewBox"] != "0 0 "+attribute["width"]+" "+attribute["height"] {
					t.Errorf("the viewBox is %q", attribute["viewBox"])
				}
				width, height = number("width"), number("height")
			case "rect":
				if attribute["width"] == "100%" {
					continue
				}
				inside("bar", number("x"), number("y"))
				inside("bar", number("x")+number("width"), number("y")+number("height"))
			case "text":
				x, y := number("x"), number("y")
				// the part of the text to the left of x
				before := map[string]float64{"middle": 0.5, "end": 1}[attribute["text-anchor"]]
				text := must(d.Token()).(xml.CharData)
				length := 6.8 * float64(len(text)) // the width of an average character at 12 px
				if attribute["font-weight"] == "bold" {
					length *= 1.1
				}
				inside(string(text), x-before*length, y-10)
				inside(string(text), x+(1-before)*length, y+3)
			case "path":
				x := 0.0
				for _, c := range corners.FindAllStringSubmatch(attribute["d"], -1) {
					at := numbers.FindAllString(c[2], -1)
					if c[1] != "V" {
						x = must(strconv.ParseFloat(at[0], 64))
					}
					inside("line", x, must(strconv.ParseFloat(at[len(at)-1], 64)))
				}
			}
		}
	}
	if shapes < 20 {
		t.Errorf("%d shapes in\n%s", shapes, picture)
	}
}

// The pictures can show rows that are much slower or faster than the recorded ones.
func TestPictures(t *testing.T) {
	for _, factor := range []float64{1, 0.05, 20} {
		_, kept := page()
		for i := range kept {
			if kept[i].Way != "C" {
				kept[i].Ratio *= factor
			}
		}
		drawnInside(t, ratios(kept))
		drawnInside(t, curve(kept))
	}
}

func TestWorse(t *testing.T) {
	k := row{Load: "l", Way: "w", Ratio: 1.1, Low: 1.08, Top: 1.12, Instructions: 1000}
	for want, r := range map[string]row{
		"":                             {Low: 1.11, Top: 2, Instructions: 1099, Allocs: 0.4},
		"1.0 allocations, not 0.0":     {Low: 1, Allocs: 1},
		"1101 instructions, not 1000":  {Low: 1, Instructions: 1101},
		"1.140 (1.130 to 1.150), not ": {Low: 1.13, Ratio: 1.14, Top: 1.15},
	} {
		r.Load, r.Way = "l", "w"
		got := worse(results{goVersion, []row{k}}, []row{r}, false)["l: w"]
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: got %q, want %q", r, got, want)
		}
	}
	if red := worse(results{goVersion, []row{k}}, []row{{Load: "l", Way: "renamed"}}, true); red["l: renamed"] == "" {
		t.Error("a row that is not on the page is ok")
	}
	if red := worse(results{goVersion, []row{k}}, []row{{Load: "l", Way: "w", Low: 2}}, true); len(red) > 0 {
		t.Errorf("times are compared: %v", red)
	}
}

// page returns the recorded tables, and their rows.
func page() (text string, rows []row) {
	text = string(must(os.ReadFile("testdata/tables.md")))
	return text, recorded(text).Rows
}

// make proof-bench QUICK=1 compares with the recorded tables, so none of their rows may be lost. The pictures show the
// same rows, and docs/performance.md ends with the first table.
func TestPage(t *testing.T) {
	text, rows := page()
	if again := tables(recorded(text)); again != text {
		t.Errorf("the tables are not read as they are; make proof-bench KEEP=1 would write\n%s", again)
	}
	first := text[strings.Index(text, loads[0].heading()):strings.Index(text, "\n"+loads[1].heading())]
	if !strings.HasSuffix(string(must(os.ReadFile("../../docs/performance.md"))), "\n\n"+first) {
		t.Errorf("docs/performance.md does not end with the first table:\n%s", first)
	}
	for file, drawn := range map[string][]byte{"ratios": ratios(rows), "descriptors": curve(rows)} {
		if kept := must(os.ReadFile("../../docs/performance-" + file + ".svg")); !bytes.Equal(kept, drawn) {
			t.Errorf("docs/performance-%s.svg does not show the tables", file)
		}
	}
}

func TestReferenceRefuses(t *testing.T) {
	p := newPair(loads[0])
	for _, l := range []load{{count: 0}, {count: 254}, {count: 1, payload: -1}} {
		if err := reference(p, l, 1); err == nil {
			t.Errorf("%+v: no error", l)
		}
	}
	if err := reference(pair{p.a, p.b, -1}, loads[0], 1); err == nil {
		t.Error("descriptor -1: no error")
	}
}
