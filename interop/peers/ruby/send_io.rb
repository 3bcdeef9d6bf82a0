# frozen_string_literal: true

# Peer for UNIXSocket#send_io and #recv_io, which pass one descriptor with a zero byte.

require_relative "peer"

$hello = "name=ruby-send-io version=#{RUBY_VERSION} can=stream,dgram,seqpacket room=1,1 payload=00"
BYTE = "\0".b

def open_socket(sock)
  UNIXSocket.for_fd(sock).tap { |socket| socket.autoclose = false }
end

def library_send(sock, payload, fds, flags)
  raise Unsupported unless payload == BYTE && fds.size == 1 && flags.zero?

  open_socket(sock).send_io(fds.first)
  payload.bytesize
end

# recv_io neither reports nor checks count and payload. If it returns, it received
# a message in the format of send_io.
def library_recv(sock, _most, _room, flags)
  raise Unsupported unless flags.zero?

  io = open_socket(sock).recv_io
  io.autoclose = false
  [BYTE, [io.fileno], nil]
end

serve
