package catalogue

import (
	"fmt"
	"io/fs"
	"path"
)

// mostFiles is how many transcripts a catalogue has at most: it may be somebody else's.
const mostFiles = 10_000

// transcripts are the names GROUP/ID.txt of a catalogue.
func transcripts(dir fs.FS) (names []string, err error) {
	groups, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		is := group.IsDir()
		if group.Type() == fs.ModeSymlink {
			info, err := fs.Stat(dir, group.Name())
			if err != nil {
				return nil, err // nobody has to ask why its files are not played
			}
			is = info.IsDir()
		}
		if !is {
			continue
		}
		files, err := fs.ReadDir(dir, group.Name())
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if path.Ext(file.Name()) == ".txt" && file.Name()[0] != '.' { // hidden, as the lock files of editors are
				names = append(names, path.Join(group.Name(), file.Name()))
			}
		}
	}
	if len(names) > mostFiles {
		return nil, fmt.Errorf("more than %d files GROUP/ID.txt", mostFiles)
	}
	return names, nil
}
