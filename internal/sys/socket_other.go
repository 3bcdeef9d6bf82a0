//go:build !unix

package sys

import (
	"errors"
	"io/fs"
	"net/netip"
)

// No Conn or Listener is made on these systems: what makes sockets says why.

const (
	NoSignal         = 0
	SendFlags        = 0
	RecvFlags        = 0
	DontWait         = 0
	ControlTruncated = 0
	MsgTrunc         = 0
	ShutRead         = 0
	ShutWrite        = 0
	ShutBoth         = 0
	MaxName          = 107
	MaxAbstract      = 108
	PairRoom         = 1
)

func Network(int) (string, error)                    { return "", errors.ErrUnsupported }
func LocalName(int) (string, error)                  { return "", errors.ErrUnsupported }
func RemoteName(int) (string, error)                 { return "", errors.ErrUnsupported }
func Listening(int) (bool, error)                    { return false, errors.ErrUnsupported }
func Nonblock(int) (bool, error)                     { return false, errors.ErrUnsupported }
func SetNonblock(int, bool) error                    { return errors.ErrUnsupported }
func Socket(string, bool) (int, error)               { return -1, errors.ErrUnsupported }
func Pair(string, bool) (a, b int, err error)        { return -1, -1, errors.ErrUnsupported }
func Accept(int) (int, error)                        { return -1, errors.ErrUnsupported }
func Dup(int) (int, error)                           { return -1, errors.ErrUnsupported }
func Pollable(int) bool                              { return false }
func IsCloseOnExec(int) (bool, error)                { return false, errors.ErrUnsupported }
func CloseOnExec(int) error                          { return errors.ErrUnsupported }
func StandIn(int) (int, error)                       { return -1, errors.ErrUnsupported }
func Replace(int, int) error                         { return errors.ErrUnsupported }
func Restrict(int, string, fs.FileMode) error        { return errors.ErrUnsupported }
func Bind(int, string) error                         { return errors.ErrUnsupported }
func openFolder(string) (int, error)                 { return -1, errors.ErrUnsupported }
func unlink(string) error                            { return errors.ErrUnsupported }
func chmod(string, fs.FileMode) error                { return errors.ErrUnsupported }
func Listen(int) error                               { return errors.ErrUnsupported }
func Connect(int, string) error                      { return errors.ErrUnsupported }
func Shutdown(int, int) error                        { return errors.ErrUnsupported }
func Internet(int) (string, error)                   { return "", errors.ErrUnsupported }
func InternetName(int, bool) (netip.AddrPort, error) { return netip.AddrPort{}, errors.ErrUnsupported }
func Receive(int, []byte) (int, error)               { return 0, errors.ErrUnsupported }
func Send(int, []byte) (int, error)                  { return 0, errors.ErrUnsupported }
func Readable(int) error                             { return errors.ErrUnsupported }
func Writable(int32) bool                            { return false }
func ReadShut(int32) bool                            { return false }
func Close(int)                                      {}

func Again(error) bool         { return false }
func Interrupted(error) bool   { return false }
func TableFull(error) bool     { return false }
func Aborted(error) bool       { return false }
func InUse(error) bool         { return false }
func Refused(error) bool       { return false }
func UnknownOption(error) bool { return false }
func OtherType(error) bool     { return false }
func IsErrno(error) bool       { return false }

// reserve does nothing: a poller here needs no descriptors of the process's table.
func reserve(int) error { return nil }
