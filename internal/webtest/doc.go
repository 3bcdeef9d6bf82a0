// Package webtest has an HTTP server that hands over to its successors, and clients that notice when a
// request is lost. The tests of handover/httpdrain and of the examples, and the checks under systemd, share
// them.
package webtest
