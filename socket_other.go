//go:build !unix

package scm

import (
	"io/fs"
	"net"
	"net/netip"
)

// No Conn or Listener is made on these systems: what makes sockets says why.

const (
	sysSendFlags   = 0
	sysRecvFlags   = 0
	sysDontWait    = 0
	sysControlCut  = 0
	sysDataCut     = 0
	sysShutRead    = 0
	sysShutWrite   = 0
	sysMaxName     = 107
	sysMaxAbstract = 108
	sysPairRoom    = 1
)

func sysNetwork(int) (string, error)                     { return "", ErrUnsupported }
func sysNames(int, string) (local, remote *net.UnixAddr) { return nil, nil }
func sysListening(int) (bool, error)                     { return false, ErrUnsupported }
func sysNonblock(int) (bool, error)                      { return false, ErrUnsupported }
func sysSetNonblock(int, bool) error                     { return ErrUnsupported }
func sysSocket(string) (int, error)                      { return -1, ErrUnsupported }
func sysPair(string) (a, b int, err error)               { return -1, -1, ErrUnsupported }
func sysAccept(int) (int, error)                         { return -1, ErrUnsupported }
func sysDup(int) (int, error)                            { return -1, ErrUnsupported }
func sysPollable(int) bool                               { return false }
func sysCloseOnExec(int) error                           { return ErrUnsupported }
func sysStandIn(int) (int, error)                        { return -1, ErrUnsupported }
func sysReplace(int, int) error                          { return ErrUnsupported }
func sysRestrict(int, string, fs.FileMode) error         { return ErrUnsupported }
func sysBind(int, string) error                          { return ErrUnsupported }
func sysOpenFolder(string) (int, error)                  { return -1, ErrUnsupported }
func sysUnlink(string) error                             { return ErrUnsupported }
func sysChmod(string, fs.FileMode) error                 { return ErrUnsupported }
func sysListen(int) error                                { return ErrUnsupported }
func sysConnect(int, string) error                       { return ErrUnsupported }
func sysShutdown(int, int) error                         { return ErrUnsupported }
func sysInternet(int) (string, error)                    { return "", ErrUnsupported }
func sysInternetName(int, bool) (netip.AddrPort, error)  { return netip.AddrPort{}, ErrUnsupported }
func sysReceive(int, []byte) (int, error)                { return 0, ErrUnsupported }
func sysSend(int, []byte) (int, error)                   { return 0, ErrUnsupported }
func sysReadable(int) error                              { return ErrUnsupported }
func sysWritable(int32) bool                             { return false }
func sysReadShut(int32) bool                             { return false }
func sysClose(int)                                       {}

func sysAgain(error) bool       { return false }
func sysInterrupted(error) bool { return false }
func sysTableFull(error) bool   { return false }
func sysAborted(error) bool     { return false }
func sysInUse(error) bool       { return false }
func sysRefused(error) bool     { return false }
func sysOtherType(error) bool   { return false }
func sysIsErrno(error) bool     { return false }
