//go:build unix

package framed_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
)

// splitReader ends each Read at the next offset that is set in ends, so that the receives of a test
// are split there. Bit 0 of ends is offset 1.
type splitReader struct {
	*framed.Reader
	ends, total int
}

func (r splitReader) Read(p []byte) (int, error) {
	end := int(r.Offset()) + 1
	for end < r.total && r.ends>>(end-1)&1 == 0 {
		end++
	}
	return r.Reader.Read(p[:min(end-int(r.Offset()), len(p))])
}

// piece is the bytes of one sendmsg and the number of files sent with them.
type piece struct {
	bytes string
	files int
}

// overAllSplits sends the pieces once for each way to split their bytes into receives, and calls read,
// which must take all files.
func overAllSplits(t *testing.T, a, b *scm.Conn, pieces []piece, files []*os.File, read func(in *bufio.Reader, r splitReader)) {
	t.Helper()
	total := 0
	for _, p := range pieces {
		total += len(p.bytes)
	}
	for ends := range 1 << (total - 1) {
		limit(t, a, b)
		for _, p := range pieces {
			write(t, a, p.bytes, files[:p.files]...)
		}
		r := splitReader{framed.NewReader(b, framed.Limits{}), ends, total}
		read(bufio.NewReader(r), r)
		if t.Failed() || r.Waiting() != 0 || r.Offset() != int64(total) {
			t.Fatalf("pieces %v, receives end at %b: %d descriptors in the queue at offset %d", pieces, ends, r.Waiting(), r.Offset())
		}
		_ = r.Close()
	}
}

// readThree reads a message of three bytes and takes n files, or those up to its end if n is upToEnd.
func readThree(t *testing.T, in *bufio.Reader, r splitReader, n int) (files []*os.File) {
	t.Helper()
	_, err := io.ReadFull(in, make([]byte, 3))
	fdtest.Must(t, err)
	files, err = r.Take(max(n, 0))
	if n == upToEnd {
		files, err = r.TakeUpTo(r.Offset() - int64(in.Buffered()))
	}
	fdtest.Must(t, err)
	return files
}

const upToEnd = -1

// Each message has 0 to 2 files and is sent in one piece or in two. Take and TakeUpTo alternate.
func TestTakeAndTakeUpToFindTheFilesOfEachMessageOverAllSplits(t *testing.T) {
	longest := 3
	if testing.Short() {
		longest = 2
	}
	a, b := connect(t, scm.Config{Expect: &scm.Expect{Min: 1, Max: 2}}) // Min does not apply to pieces of a message
	files, runs, sequences := open(t, 2), 0, 1
	for length := 1; length <= longest; length++ {
		sequences *= 6
		for sequence := range sequences {
			var pieces []piece
			var counts []int
			for left, i := sequence, 0; i < length; left, i = left/6, i+1 {
				n := left % 6 / 2
				counts = append(counts, n)
				if left%2 == 0 {
					pieces = append(pieces, piece{"abc", n})
				} else {
					pieces = append(pieces, piece{"a", n}, piece{"bc", 0})
				}
			}
			overAllSplits(t, a, b, pieces, files, func(in *bufio.Reader, r splitReader) {
				runs++
				for i, n := range counts {
					count := n
					if (runs+i)%2 == 0 {
						count = upToEnd
					}
					if got := readThree(t, in, r, count); !same(got, files[:n]) {
						t.Errorf("message %d: got %d files, want %d", i, len(got), n)
					}
				}
			})
		}
	}
	t.Logf("%d splits", runs)
}

func TestTakeUpToWithAJSONDecoder(t *testing.T) {
	a, b := connect(t, scm.Config{})
	files := open(t, 2)
	for _, n := range []int{0, 2, 1, 0} {
		write(t, a, fmt.Sprintf("{\"files\": %d}\n", n), files[:n]...)
	}
	fdtest.Must(t, a.Close())
	r := framed.NewReader(b, framed.Limits{})
	defer r.Close()
	decoder := json.NewDecoder(r)
	for messages := 0; ; messages++ {
		var message struct{ Files int }
		if err := decoder.Decode(&message); err == io.EOF && messages == 4 {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got, err := r.TakeUpTo(decoder.InputOffset() + 1)
		if err != nil || !same(got, files[:message.Files]) {
			t.Errorf("message %d: got %d files, %v; want %d", messages, len(got), err, message.Files)
		}
	}
}

func TestTakeUpToReturnsNoFileOnError(t *testing.T) {
	a, b := connect(t, scm.Config{})
	files := open(t, 3)
	r := framed.NewReader(b, framed.Limits{Message: 2, Waiting: 4})
	defer r.Close()
	var claim *framed.ClaimError
	write(t, a, "x", files...)
	_, err := r.Read(make([]byte, 1))
	fdtest.Must(t, err)
	got, err := r.TakeUpTo(1)
	if want := (framed.ClaimError{Claimed: 3, Waiting: 3, Most: 2}); got != nil || !errors.As(err, &claim) || *claim != want {
		t.Errorf("got %v, %v; want no files and %v", got, err, &want)
	}
	for _, offset := range []int64{-1, 0} {
		if got, err := r.TakeUpTo(offset); got != nil || err != nil || r.Waiting() != 3 {
			t.Errorf("offset %d: got %v, %v and %d descriptors in the queue, want nothing and 3", offset, got, err, r.Waiting())
		}
	}
	if got, err := r.Take(1); !same(got, files[:1]) {
		t.Errorf("got %d files, %v; want the first", len(got), err)
	}
	if got, err := r.TakeUpTo(1 << 62); !same(got, files[1:]) {
		t.Errorf("got %d files, %v; want the other two", len(got), err)
	}

	for range 2 {
		write(t, a, "x", files...)
		_, err = r.Read(make([]byte, 1))
	}
	if got, again := r.TakeUpTo(3); err == nil || got != nil || again != err {
		t.Errorf("got %v, %v; want no files and the error of Read, %v", got, again, err)
	}
	r = framed.NewReader(b, framed.Limits{})
	_ = r.Close()
	if got, err := r.TakeUpTo(0); got != nil || err != os.ErrClosed {
		t.Errorf("after Close: got %v, %v; want no files and %v", got, err, os.ErrClosed)
	}
}

// varlink ends each message with a zero byte. Its messages do not say how many files they have.
func ExampleReader_TakeUpTo() {
	a, b, err := scm.Pair("unix")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	defer b.Close()

	w := framed.NewWriter(a)
	for i, message := range []string{`{"method":"org.example.Ping"}`, `{"method":"org.example.Print"}`} {
		_ = w.Attach([]*os.File{os.Stdin, os.Stdout}[:2*i]...) // two files are within the limit
		if _, err := w.Write([]byte(message + "\x00")); err != nil {
			fmt.Println(err)
			return
		}
	}

	r := framed.NewReader(b, framed.Limits{Message: 4})
	defer r.Close()
	in := bufio.NewReaderSize(r, 1<<16)
	for range 2 {
		message, err := in.ReadString(0)
		if err != nil {
			fmt.Println(err)
			return
		}
		files, err := r.TakeUpTo(r.Offset() - int64(in.Buffered()))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s has %d files\n", strings.TrimSuffix(message, "\x00"), len(files))
		for _, f := range files {
			_ = f.Close()
		}
	}
	// Output:
	// {"method":"org.example.Ping"} has 0 files
	// {"method":"org.example.Print"} has 2 files
}
