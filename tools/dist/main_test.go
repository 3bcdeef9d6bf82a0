package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// archiveWith writes an archive with empty files, and returns its name.
func archiveWith(t *testing.T, arch string, names ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scm-1.2.3-linux-"+arch+".tar.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	out := tar.NewWriter(z)
	for _, name := range names {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "scm-1.2.3-linux-" + arch + "/" + name, Mode: 0o755, ModTime: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{out, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// The image has one platform for each archive, and in it the programs and the licences.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	names := []string{"scm", "scmvet", "peers/csrc", "peers/peers.json", "LICENSE", "licenses/go/LICENSE"}
	if err := write(dir, []string{archiveWith(t, "arm", names...), archiveWith(t, "s390x", names...)}); err != nil {
		t.Fatal(err)
	}
	top := must(must(layout.FromPath(dir)).ImageIndex())
	images := must(top.IndexManifest()).Manifests
	if len(images) != 1 {
		t.Fatalf("%d images", len(images))
	}
	index := must(top.ImageIndex(images[0].Digest))
	for i, want := range []string{"linux/arm/v7", "linux/s390x"} {
		m := must(index.IndexManifest()).Manifests[i]
		image := must(index.Image(m.Digest))
		config := must(image.ConfigFile())
		if m.Platform.String() != want || config.Platform().String() != want || !config.Created.Equal(time.Unix(1e9, 0)) {
			t.Errorf("got %v, %v, created %v, want %s", m.Platform, config.Platform(), config.Created, want)
		}
		var found []string
		layer := tar.NewReader(must(must(image.Layers())[0].Uncompressed()))
		for h, err := layer.Next(); err == nil; h, err = layer.Next() {
			found = append(found, h.Name)
		}
		if want := []string{"scm/scm", "scm/peers/csrc", "scm/peers/peers.json", "scm/LICENSE", "scm/licenses/go/LICENSE", "tmp/"}; !slices.Equal(found, want) {
			t.Errorf("the image contains %q, want %q", found, want)
		}
	}
}

func TestWrongArchive(t *testing.T) {
	for _, name := range []string{"scm.tar.gz", filepath.Join(t.TempDir(), "scm-1-linux-arm.tar.gz")} {
		if err := write(t.TempDir(), []string{name}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
