//go:build !linux

package sys

import (
	"errors"
	"io/fs"
	"math"
	"os"
)

const HasLongPaths = false

const MaxPath = math.MaxInt32 // sun_path has a lower limit

func OpenFolder(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func LocalName(_ int, known string) string { return known }

func HoldFile(path string) (info fs.FileInfo, release func(), err error) {
	info, err = os.Lstat(path)
	return info, func() {}, err
}

// Restrict is not possible, because nothing can run between package net's bind and listen.
func Restrict(int, uint32) error { return errors.ErrUnsupported }

func ChmodSocket(string, fs.FileInfo, uint32) error { return errors.ErrUnsupported }

// Shared reports false, because the types of file systems are not known.
func Shared(string) bool { return false }

// SamePlace reports whether a directory exists. Whether the process is in another root is not known.
func SamePlace(_ int, dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}
