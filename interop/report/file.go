package report

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/bounded"
)

// Streamed is the extension of a report that is written while the run goes on.
const Streamed = ".jsonl"

// formats are the forms of a report, by the extension of the file.
var formats = map[string]func(*Report, io.Writer) error{
	".json": (*Report).JSON,
	".xml":  (*Report).JUnit,
	".md":   (*Report).Markdown,
	".html": (*Report).HTML,
	".txt":  (*Report).Console,
}

// CheckFile reports whether a report can have this name.
func CheckFile(file string) error {
	ext := filepath.Ext(file)
	if ext == Streamed || formats[ext] != nil {
		return nil
	}
	known := []string{Streamed}
	for ext := range formats {
		known = append(known, ext)
	}
	slices.Sort(known)
	return fmt.Errorf("the name of a report ends in one of %s, and not as %q", strings.Join(known, " "), file)
}

// CheckFiles reports whether the reports of a run can have these names: two reports are two
// files, and none is a folder.
func CheckFiles(files []string) error {
	for i, file := range files {
		if err := CheckFile(file); err != nil {
			return err
		}
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			return fmt.Errorf("the report %s is a folder", file)
		}
		for _, before := range files[:i] {
			if sameFile(before, file) {
				return fmt.Errorf("the reports %s and %s are one file", before, file)
			}
		}
	}
	return nil
}

// sameFile reports whether two paths lead to one file, which need not be there yet.
func sameFile(one, other string) bool {
	a, err := os.Stat(one)
	b, err2 := os.Stat(other)
	return err == nil && err2 == nil && os.SameFile(a, b) || real(one) == real(other)
}

// real is the path to a file without links on the way, as far as there is such a way.
func real(file string) string {
	whole, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	dir, rest := filepath.Split(whole)
	for {
		to, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(to, rest)
		}
		above := filepath.Dir(filepath.Clean(dir))
		if above == filepath.Clean(dir) {
			return whole
		}
		dir, rest = above, filepath.Join(filepath.Base(dir), rest)
	}
}

// WriteFile writes the report to a file, in the form that its name asks for, whole
// or not at all. A FIFO stays one: WriteFile waits for a reader until ctx is done.
func (r *Report) WriteFile(ctx context.Context, file string) error {
	if err := CheckFile(file); err != nil {
		return err
	}
	if filepath.Ext(file) == Streamed {
		s, err := r.NewStream(ctx, file)
		if err != nil {
			return err
		}
		for _, c := range r.Cases {
			s.Case(c)
		}
		return s.Close(r)
	}
	var text bytes.Buffer
	if err := formats[filepath.Ext(file)](r, &text); err != nil {
		return err
	}
	if isFIFO(file) {
		f, err := take(openFIFO(ctx, file))
		if err != nil {
			return err
		}
		defer endWith(ctx, f)()
		_, err = f.Write(text.Bytes())
		return errors.Join(err, f.Close())
	}
	return Replace(file, text.Bytes())
}

// Replace puts a file with this text in the place of file, whole or not at all: on an
// error, what is there stays. The new file has the mode of the one that is there, and where
// that is permitted its owner and group. A link is replaced, not followed.
func Replace(file string, text []byte) error {
	old, err := os.Lstat(file)
	keep := err == nil && old.Mode().IsRegular()
	var f *os.File
	for range 10 {
		// Others may write to the folder: a file that is there, or a link, is not opened,
		// and nobody can know the name before.
		temp := filepath.Join(filepath.Dir(file), ".scm-"+rand.Text()+".new")
		if f, err = create(temp, os.O_EXCL); !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && keep {
		if uid, gid, ok := bounded.Owner(old); ok && f.Chown(uid, gid) != nil {
			_ = f.Chown(-1, gid) // only root gives a file away
		}
		err = f.Chmod(old.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// take empties a file for this run alone: the lines of two runs would be mixed in it.
func take(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if locked(f) {
		err = fmt.Errorf("%s: another run writes this report", f.Name())
	} else if info, e := f.Stat(); e != nil {
		err = e
	} else if info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// create makes a file, and the folder that it is in.
func create(file string, flag int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|flag, 0o666)
}

// isFIFO reports whether a report goes to whoever reads at the other end.
func isFIFO(file string) bool {
	info, err := os.Lstat(file)
	return err == nil && info.Mode().Type() == os.ModeNamedPipe
}

// openFIFO opens a FIFO once it has a reader, as a shell's > does, or fails when ctx is done.
func openFIFO(ctx context.Context, file string) (*os.File, error) {
	for {
		f, err := os.OpenFile(file, os.O_WRONLY|bounded.Nonblock|bounded.NoFollow, 0)
		if !bounded.NoReader(err) || !isFIFO(file) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: nobody has it open for reading: %w", file, context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// patience is how long a reader may take once ctx is done.
const patience = time.Second

// endWith ends the writes to a FIFO that nobody reads soon after ctx is done.
func endWith(ctx context.Context, f *os.File) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Now().Add(patience)) }) // a regular file needs none
}
