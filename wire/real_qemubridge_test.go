//go:build linux

package wire_test

import (
	"os/exec"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

var _ = Describe("in the "+quoted(wire.QEMUBridgeHelper)+",", Label("real"), func() {
	It("qemu-bridge-helper sends a TAP device that Recv receives", func(ctx SpecContext) {
		f := connect("unix")
		helper := begin(bridgeHelper(ctx), int(f.b))
		_, fds := f.recv(wire.QEMUBridgeHelper, f.a)
		// The kernel leaves out /dev once the mount namespace is gone.
		Expect(fdtest.Name(fds[0])).To(HaveSuffix("/net/tun"))
		exits(helper, 0)
	}, NodeTimeout(timeout))
})

// withBridge runs a command in a network namespace with the bridge br0, and with a /etc that allows the helper to
// use it.
const withBridge = `
set -e
mount -t tmpfs tmpfs /etc
mkdir /etc/qemu
echo allow br0 > /etc/qemu/bridge.conf
ip link add br0 type bridge
exec "$0" "$@"`

// canBridge returns why withBridge fails, or why there are no TAP devices.
var canBridge = sync.OnceValue(func() string {
	_, why := output("unshare", "--net", "--mount", "sh", "-c", withBridge, "sh", "-c", ": <> /dev/net/tun")
	return why
})

// bridgeHelper returns a command that sends a TAP device through socket 3.
func bridgeHelper(ctx SpecContext) *exec.Cmd {
	GinkgoHelper()
	helper := program("/usr/lib/qemu/qemu-bridge-helper", "qemu-system-common")
	program("ip", "iproute2")
	if why := canBridge(); why != "" {
		Skip("cannot create a bridge and a TAP device: " + why)
	}
	words := []string{"unshare", "--net", "--mount", "sh", "-c", withBridge, helper, "--br=br0", "--fd=3"}
	return commandOf(ctx, words)
}
