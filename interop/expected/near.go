package expected

import "fmt"

// DidYouMean returns a question that names the name most similar to the word, or "" if none is similar.
func DidYouMean(word string, names []string) string {
	near, best := "", max(1, len(word)/4)+1 // a name with more differences is not similar
	for _, name := range names {
		if max(len(word)-len(name), len(name)-len(word)) >= best { // the distance is at least that
			continue
		}
		if d := distance(word, name); d < best && d < len(word) {
			near, best = name, d
		}
	}
	if near == "" {
		return ""
	}
	return didYouMean(near)
}

func didYouMean(name string) string { return fmt.Sprintf("; did you mean %q?", name) }

// distance returns the number of bytes to insert, delete, replace or swap with the next byte to
// turn one text into the other.
func distance(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := append(make([]int, 0, len(b)+1), i+1)
		for j := range len(b) {
			d := row[j]
			if a[i] != b[j] {
				d++
			}
			d = min(d, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			next = append(next, d)
		}
		before, row = row, next
	}
	return row[len(b)]
}
