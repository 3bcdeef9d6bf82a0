// Command dist writes the container image of a release as an OCI layout, from the archives for each architecture. Its
// go.mod also pins the version of cyclonedx-gomod for tools/dist.sh, which runs both.
//
//	dist DIR scm-VERSION-linux-GOARCH.tar.gz…
//
// The image contains scm, the peers and the licences, in /scm.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: dist DIR ARCHIVE…")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

var (
	archiveName = regexp.MustCompile(`scm-([^/]*)-linux-([^/]*)\.tar\.gz$`)

	// inImage matches the files of an archive that the image contains.
	inImage = regexp.MustCompile(`^[^/]*/(scm$|peers/|LICENSE$|licenses/)`)
)

// write writes an image with one platform for each archive.
func write(dir string, archives []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	version := ""
	for _, archive := range archives {
		name := archiveName.FindStringSubmatch(archive)
		if name == nil {
			return fmt.Errorf("%q is not the name of an archive", archive)
		}
		version = name[1]
		image, err := imageOf(archive, name[2])
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		platform := must(image.ConfigFile()).Platform()
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// Programs that read the layout use its only image, and select a platform in it.
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "scm:" + version}))
}

// imageOf returns the image for an architecture.
func imageOf(archive, arch string) (v1.Image, error) {
	text, created, err := layerOf(archive)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, &v1.ConfigFile{
		OS:           "linux",
		Architecture: arch,
		Variant:      map[string]string{"arm": "v7"}[arch],
		Created:      v1.Time{Time: created},
		RootFS:       must(image.ConfigFile()).RootFS,
		History:      must(image.ConfigFile()).History,
		Config: v1.Config{
			Entrypoint: []string{"/scm/scm"},
			Env:        []string{"PATH=/scm"},
			Labels:     map[string]string{"org.opencontainers.image.licenses": "BSD-3-Clause"},
		},
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // the image is in memory
	}
	return value
}

// layerOf returns the files of the image as a tar archive, and the time that all of them have.
func layerOf(archive string) (text []byte, created time.Time, err error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, created, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, created, err
	}
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, created, err
		}
		if !inImage.MatchString(h.Name) {
			continue
		}
		created = h.ModTime
		_, name, _ := strings.Cut(h.Name, "/")
		h.Name = "scm/" + name
		if err := out.WriteHeader(h); err != nil {
			return nil, created, err
		}
		if _, err := io.Copy(out, in); err != nil {
			return nil, created, err
		}
	}
	// Peers may need it.
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, ModTime: created}); err != nil {
		return nil, created, err
	}
	return b.Bytes(), created, out.Close()
}
