# frozen_string_literal: true

# Peer for UNIXSocket#send_io and #recv_io, which pass one descriptor with a zero byte.

require_relative "peer"

class SendIO < Peer
  HELLO = "name=ruby-send-io can=stream,dgram,seqpacket room=1,1 payload=00"
  BYTE = "\0".b

  private

  def open_socket(sock)
    UNIXSocket.for_fd(sock)
  end

  def send_message(socket, data, fds, flags)
    unsupported_unless(data == BYTE && fds.size == 1 && flags.zero?)
    socket.send_io(fds.first)
    data.bytesize
  end

  # recv_io neither reports nor checks count and payload. If it returns, it received
  # a message in the format of send_io.
  def recv_message(socket, _size, _room, flags)
    unsupported_unless(flags.zero?)
    [BYTE, [socket.recv_io], nil]
  end
end

serve(SendIO.new)
