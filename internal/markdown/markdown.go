// Package markdown finds the fenced code blocks of a page. Linters and tests use it to check the code in the documentation.
package markdown

import (
	"regexp"
	"strings"
)

// A Block is a fenced code block.
type Block struct {
	Heading  string // the nearest heading above the block
	Language string
	Text     string
}

var headingOrBlock = regexp.MustCompile("(?ms)^#+ ([^\n]+)$|^```([a-z]*)\n(.*?)^```$")

// Blocks returns the blocks of a page in order.
func Blocks(page string) (blocks []Block) {
	heading := ""
	for _, m := range headingOrBlock.FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[0], "#") {
			heading = m[1]
			continue
		}
		blocks = append(blocks, Block{heading, m[2], m[3]})
	}
	return blocks
}

// Below returns the texts of the blocks in a language below a heading.
func Below(page, heading, language string) (texts []string) {
	for _, b := range Blocks(page) {
		if b.Heading == heading && b.Language == language {
			texts = append(texts, b.Text)
		}
	}
	return texts
}
