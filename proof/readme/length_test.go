//go:build linux

package main

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

// README.md is for someone with one minute.
func TestLength(t *testing.T) {
	text := must.Get(os.ReadFile("../../README.md"))
	if words := len(strings.Fields(string(text))); words > 700 {
		t.Errorf("README.md has %d words, and may have 700", words)
	}
	if lines := strings.Count(string(text), "\n"); lines > 130 {
		t.Errorf("README.md has %d lines, and may have 130", lines)
	}
}

// In package scm, nine of ten doc comments of functions and methods are for someone who looks for one call.
func TestDocComments(t *testing.T) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range must.Get(filepath.Glob("../../*.go")) {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, must.Get(parser.ParseFile(set, name, nil, parser.ParseComments)))
		}
	}
	all, long := 0, []string{}
	count := func(receiver string, list []*doc.Func) {
		for _, f := range list {
			if all++; len(strings.Fields(f.Doc)) > 60 {
				long = append(long, receiver+f.Name)
			}
		}
	}
	p := must.Get(doc.NewFromFiles(set, files, "github.com/scm-rights/scm"))
	count("", p.Funcs)
	for _, of := range p.Types {
		count("", of.Funcs)
		count(of.Name+".", of.Methods)
	}
	if all < 50 || 10*len(long) > all {
		t.Errorf("of %d comments, %d have more than 60 words: %q", all, len(long), long)
	}
}
