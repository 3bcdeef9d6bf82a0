//go:build linux

package handover

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// freePort returns a port that is free for both versions of IP. By default, the kernel chooses none below 32768.
func freePort(t *testing.T) (port int) {
	fdtest.Eventually(t, "a port is free", func() bool {
		port = 20000 + rand.IntN(12000)
		l, busy := net.Listen("tcp", fmt.Sprint(":", port))
		c, busyUDP := net.ListenPacket("udp", fmt.Sprint(":", port))
		if busy == nil {
			_ = l.Close()
		}
		if busyUDP == nil {
			_ = c.Close()
		}
		return busy == nil && busyUDP == nil
	})
	return port
}

// unitSocket returns a socket of a unit with ReusePort=yes. families is "4", "6" or "46".
func unitSocket(t *testing.T, network, families string, port int) (f *os.File, inode uint64) {
	domain, typ, only6 := unix.AF_INET6, unix.SOCK_STREAM, 0
	var at unix.Sockaddr = &unix.SockaddrInet6{Port: port}
	switch families {
	case "4":
		domain, at = unix.AF_INET, &unix.SockaddrInet4{Port: port}
	case "6":
		only6 = 1
	}
	if strings.HasPrefix(network, "udp") {
		typ = unix.SOCK_DGRAM
	}
	fd := must(unix.Socket(domain, typ|unix.SOCK_CLOEXEC, 0))
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if domain == unix.AF_INET6 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only6))
	}
	if err = errors.Join(err, unix.Bind(fd, at)); typ == unix.SOCK_STREAM {
		err = errors.Join(err, unix.Listen(fd, 8))
	}
	var stat unix.Stat_t
	if err = errors.Join(err, unix.Fstat(fd, &stat)); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), families), stat.Ino
}

// reach returns an error if a client of IPv4 or IPv6 does not reach a socket that no other process has.
func reach(t *testing.T, l io.Closer, at net.Addr, family string) error {
	_, port, _ := net.SplitHostPort(at.String())
	host := map[string]string{"4": "127.0.0.1", "6": "::1"}[family]
	client, err := net.Dial(at.Network(), net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer client.Close()
	if c, ok := l.(net.PacketConn); ok {
		deadline, _ := patient(t).Deadline()
		_ = c.SetReadDeadline(deadline)
		_ = must(client.Write([]byte("x")))
		_, _, err = c.ReadFrom(make([]byte, 1))
	}
	return err
}

func needsIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	_ = l.Close()
}

// Some sockets of a unit refuse clients of the wanted network, whatever their names. If all do, Listen creates one. A
// successor gets the same socket.
func TestListenTakesASocketThatServesTheNetwork(t *testing.T) {
	needsIPv6(t)
	const none = -1
	for unit, want := range map[string]map[string]int{ // which socket each network takes, if all have the same name
		"4":    {"": 0, "4": 0, "6": none},
		"6":    {"": 0, "4": none, "6": 0},
		"46":   {"": 0, "4": 0, "6": 0},
		"4 6":  {"": 0, "4": 0, "6": 1},
		"6 4":  {"": 0, "4": 1, "6": 0},
		"4 46": {"": 1, "4": 0, "6": 1},
		"46 4": {"": 0, "4": 1, "6": 0},
		"6 46": {"": 1, "4": 1, "6": 0},
		"46 6": {"": 0, "4": 0, "6": 1},
	} {
		sockets := strings.Fields(unit)
		for _, network := range []string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"} {
			promised := network[3:]
			for _, names := range [][]string{{"web", "web"}, {"web", "other"}, {"other", "web"}, {"other", "other"}} {
				for _, anyPort := range []bool{false, true} {
					names, want := names[:len(sockets)], want[promised]
					named := slices.Index(names, "web")
					switch {
					case !slices.Contains(names, "other"):
					case named >= 0 && strings.Contains(sockets[named], promised):
						want = named
					case anyPort:
						want = none
					}
					what := fmt.Sprintf("%s of %q %q, any port: %v", network, sockets, names, anyPort)
					t.Run(what, func(t *testing.T) { testUnit(t, sockets, names, network, anyPort, want) })
				}
			}
		}
	}
}

// A unit's socket for IPv6 only is not the reason why a port is in use for IPv4, and the reverse.
func TestListenDoesNotBlameASocketOfTheOtherFamily(t *testing.T) {
	needsIPv6(t)
	for received, network := range map[string]string{"6": "tcp4", "4": "tcp6"} {
		port := freePort(t)
		p, address := start(t, Config{}, socketPath(t)), fmt.Sprint(":", port)
		f, _ := unitSocket(t, "tcp", received, port)
		passes(p, "web", f)
		l := must(net.Listen(network, address))
		_, err := p.Listen(patient(t), "web", network, address)
		wantError(t, err, "no predecessor was waiting")
		_ = l.Close()
	}
}

// testUnit lets a Process listen with the name "web", and with the port of a unit's sockets or any port. want is the
// index of the socket that it takes, or -1 if it creates one.
func testUnit(t *testing.T, sockets, names []string, network string, anyPort bool, want int) {
	port, families := freePort(t), network[3:]
	address := fmt.Sprint(":", port)
	if anyPort {
		address = ":0"
	}
	a := start(t, Config{}, socketPath(t))
	var inodes []uint64
	for i, socket := range sockets {
		f, inode := unitSocket(t, network, socket, port)
		inodes = append(inodes, inode)
		passes(a, names[i], f)
	}
	first, _, inode := bind(t, a, "web", network, address)
	taken := slices.Index(inodes, inode)
	if taken != want {
		t.Fatalf("took the socket %d, want %d", taken, want)
	}
	ready(t, a)
	b := start(t, Config{}, a.path)
	second, at, again := bind(t, b, "web", network, address)
	if again != inode {
		t.Error("the successor has another socket")
	}
	ready(t, b)
	isReplaced(t, a)
	_ = first.Close()
	switch {
	case families == "" && taken >= 0:
		families = sockets[taken]
	case families == "":
		families = "46"
	}
	for _, family := range strings.Split(families, "") {
		if err := reach(t, second, at, family); err != nil {
			t.Errorf("a client of IPv%s: %v", family, err)
		}
	}
}
