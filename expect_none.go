//go:build !unix

package scm

import "strconv"

func (e Expect) unanswerable() bool { return true }

func look(int) (file, error) { return file{}, ErrUnsupported }

func closeNumber(int) {}

func cut(int) bool { return false }

func nameFamily(family int) string { return "family " + strconv.Itoa(family) }

func nameType(typ int) string { return "type " + strconv.Itoa(typ) }
