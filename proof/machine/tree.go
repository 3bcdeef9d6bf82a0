//go:build linux

package machine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// A Tree contains the files of a machine, by path without a leading slash.
type Tree map[string]node

type node struct {
	mode         uint32 // with the type, as in stat(2)
	data         []byte // of a file, or the target of a symbolic link
	major, minor uint32 // of a device
}

// Types of files, as in stat(2).
const (
	directory = 0o040000
	device    = 0o020000
	regular   = 0o100000
	symlink   = 0o120000
)

// Write adds a file and the folders that lead to it.
func (t Tree) Write(name string, perm uint32, data []byte) {
	t.add(name, node{mode: regular | perm, data: data})
}

// Copy adds an executable file from the host.
func (t Tree) Copy(name, file string) { t.Write(name, 0o755, must.Get(os.ReadFile(file))) }

// Symlink adds a symbolic link.
func (t Tree) Symlink(name, to string) {
	t.add(name, node{mode: symlink | 0o777, data: []byte(to)})
}

func (t Tree) add(name string, n node) {
	for dir := path.Dir(name); dir != "." && t[dir].mode == 0; dir = path.Dir(dir) {
		t[dir] = node{mode: directory | 0o755}
	}
	t[name] = n
}

// Unpack adds the files of a Debian package.
func (t Tree) Unpack(file string) { files(file, t.unpack) }

// UnpackArchive adds the files of a compressed tar archive.
func (t Tree) UnpackArchive(file string) {
	f := must.Get(os.Open(file))
	defer f.Close()
	each(tar.NewReader(must.Get(gzip.NewReader(f))), t.unpack)
}

// unpack adds a file of an archive.
func (t Tree) unpack(h *tar.Header, data io.Reader) {
	name := path.Clean(h.Name)
	perm := uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeDir:
		if t[name].mode == 0 {
			t.add(name, node{mode: directory | perm})
		}
	case tar.TypeSymlink:
		t.Symlink(name, h.Linkname)
	case tar.TypeLink:
		t.add(name, t[path.Clean(h.Linkname)])
	case tar.TypeReg:
		t.Write(name, perm, must.Get(io.ReadAll(data)))
	}
}

// files calls f for each file of a Debian package.
func files(file string, f func(h *tar.Header, data io.Reader)) {
	var out, errs bytes.Buffer
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", file)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		must.Failf("%w: %w; root can install it: apt-get install dpkg", target.ErrMissing, err)
	}
	if err != nil {
		must.Failf("%s: %w: %s", file, err, &errs)
	}
	each(tar.NewReader(&out), f)
}

// each calls f for each file of an archive.
func each(archive *tar.Reader, f func(h *tar.Header, data io.Reader)) {
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		must.OK(err)
		f(h, archive)
	}
}

// image returns the kernel image in a package.
func image(k target.Kernel) (text []byte) {
	file := must.Get(Fetch(k.Path, k.SHA256))
	files(file, func(h *tar.Header, data io.Reader) {
		if h.Typeflag == tar.TypeReg && strings.HasPrefix(path.Base(h.Name), "vmlinu") {
			text = must.Get(io.ReadAll(data))
		}
	})
	if text == nil {
		must.Failf("%s contains no kernel", file)
	}
	return text
}

// cpio returns the tree in the format of an initramfs ("newc").
func (t Tree) cpio() []byte {
	var b bytes.Buffer
	entry := func(name string, ino int, n node) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			ino, n.mode, 0, 0, 1, 0, len(n.data), 0, 0, n.major, n.minor, len(name)+1, 0)
		b.WriteString(name + "\x00")
		pad(&b)
		b.Write(n.data)
		pad(&b)
	}
	// A folder sorts before what it contains.
	for i, name := range slices.Sorted(maps.Keys(t)) {
		entry(name, i+1, t[name])
	}
	entry("TRAILER!!!", 0, node{})
	return b.Bytes()
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
