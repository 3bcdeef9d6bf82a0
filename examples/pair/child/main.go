package main

import "github.com/scm-rights/scm"

func main() {
	buf := make([]byte, 1)
	_, fd, err := scm.ReadFD(3, buf)
	if err == nil {
		_, err = scm.WriteFD(3, buf, fd)
	}
	if err != nil {
		panic(err)
	}
}
