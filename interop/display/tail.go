package display

import (
	"strings"
	"sync"
)

// A Tail is an io.Writer that keeps only the last bytes written to it. Its methods may be called at the same time.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *Tail) Write(p []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

// Reset forgets all bytes.
func (t *Tail) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = nil
}

// String returns the bytes as readable text.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Readable(strings.TrimSpace(string(t.text)))
}
