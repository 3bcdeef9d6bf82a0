// Package bounded reads files that somebody else may have written: each has a limit.
package bounded

import (
	"fmt"
	"io"
	"os"
)

// Limits of files, in bytes.
const (
	Text   = 1 << 20   // a list of peers, of patterns or of expected failures
	Report = 256 << 20 // a JSON report
)

// ReadFile returns what is in a file of at most so many bytes. It may be a FIFO.
func ReadFile(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, file, most)
}

// Read returns what r has, at most so many bytes. The error names the file.
func Read(r io.Reader, file string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: longer than %d bytes", file, most)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
