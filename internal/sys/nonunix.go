//go:build !unix

package sys

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// These systems cannot pass descriptors, and have no Conn or Listener, although package net may have Unix
// sockets there. This file replaces every file that is built on Unix systems only.

const (
	HasConns         = false
	NoSignal         = 0
	SendFlags        = 0
	RecvFlags        = 0
	DontWait         = 0
	ControlTruncated = 0
	MsgTrunc         = 0
	MaxName          = 107
	MaxAbstract      = 108
	PairRoom         = 1

	RecvNeedsForkLock = false
)

func RecvWithForkLock(_ int32, flags int, receive func(flags int) error) error { return receive(flags) }

func Network(int) (string, error)       { return "", errors.ErrUnsupported }
func Listening(int) (bool, error)       { return false, errors.ErrUnsupported }
func IsSocket(int) (bool, error)        { return false, errors.ErrUnsupported }
func OnlyIPv6(int) bool                 { return false }
func Nonblock(int) (bool, error)        { return false, errors.ErrUnsupported }
func SetNonblock(int, bool) error       { return errors.ErrUnsupported }
func Socket(string) (int, error)        { return -1, errors.ErrUnsupported }
func Pair(string) (a, b int, err error) { return -1, -1, errors.ErrUnsupported }
func Dup(int, int) (int, error)         { return -1, errors.ErrUnsupported }
func HasPoll(int) bool                  { return true }
func Pollable(int) bool                 { return false }
func HasNetType(int) bool               { return false }
func IsCloseOnExec(int) (bool, error)   { return false, errors.ErrUnsupported }
func CloseOnExec(int) error             { return errors.ErrUnsupported }
func StandIn(int) (int, error)          { return -1, errors.ErrUnsupported }
func Replace(int, int) error            { return errors.ErrUnsupported }
func Connect(int, string) error         { return errors.ErrUnsupported }
func Bind(int, string) error            { return errors.ErrUnsupported }
func ShutdownBoth(int)                  {}
func Writable(int32) bool               { return false }
func Readable(int32) bool               { return false }
func Close(int)                         {}
func CloseAll([]int)                    {}
func Lock(int) error                    { return nil }
func reserve(int) error                 { return errors.ErrUnsupported }

func Again(error) bool         { return false }
func Interrupted(error) bool   { return false }
func TableFull(error) bool     { return false }
func QueueFull(error) bool     { return false }
func InUse(error) bool         { return false }
func Refused(error) bool       { return false }
func Disconnected(error) bool  { return false }
func UnknownOption(error) bool { return false }
func OtherType(error) bool     { return false }
func OtherKind(error) bool     { return false }
func Lacks(err error) bool     { return errors.Is(err, errors.ErrUnsupported) }
func IsMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
func IsErrno(error) bool       { return false }

func IsKilled(*os.ProcessState) bool { return false }

func CanTell(string, bool) bool          { return false }
func Opened(int) (File, error)           { return File{}, errors.ErrUnsupported }
func (*File) Identify(int) error         { return errors.ErrUnsupported }
func StatusFlags(flags int) int          { return flags }
func FlagNames(flags int) string         { return "flags " + strconv.Itoa(flags) }
func FamilyName(family int) string       { return "family " + strconv.Itoa(family) }
func TypeName(typ int) string            { return "type " + strconv.Itoa(typ) }
func ProtocolName(int, int) string       { return "" }
func FileIDOf(fs.FileInfo, error) FileID { return FileID{} }

func SocketID(int) FileID { return FileID{} }

const (
	EINVAL       = unsupported("unsupported operation")
	EMSGSIZE     = unsupported("unsupported operation")
	ENAMETOOLONG = unsupported("unsupported operation")
	ENOSPC       = unsupported("no space left on device") // no error of package sys
	EADDRINUSE   = unsupported("unsupported operation")

	ENOTSOCK        = unsupported("unsupported operation")
	EPROTONOSUPPORT = unsupported("unsupported operation")
)

// unsupported replaces the errno on systems that lack the system call.
type unsupported string

func (e unsupported) Error() string        { return string(e) }
func (e unsupported) Is(target error) bool { return target == errors.ErrUnsupported }
