// Package witness tells what the kernel says of the descriptors and threads of other
// processes. What a peer says of them is not believed.
package witness
