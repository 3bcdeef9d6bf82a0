# frozen_string_literal: true

# Peer for BasicSocket#sendmsg and #recvmsg with Socket::AncillaryData.unix_rights.

require_relative "peer"

$hello = "name=ruby-sendmsg version=#{RUBY_VERSION} can=stream,dgram,seqpacket,multi,flags"
HEADER = [0, 0, 0].pack("Jii").bytesize # of a control message, because Ruby has no CMSG_LEN

def open_socket(sock)
  Socket.for_fd(sock).tap { |socket| socket.autoclose = false }
end

# unix_rights takes IO objects. IO.for_fd asks the kernel about the descriptor, and
# raises EBADF if it is not open.
def library_send(sock, payload, fds, flags)
  ios = fds.map { |fd| IO.for_fd(fd, autoclose: false) }
  rights = ios.empty? ? [] : [Socket::AncillaryData.unix_rights(*ios)]
  open_socket(sock).sendmsg(payload, flags, nil, *rights)
end

# Since Ruby 3.3 recvmsg returns nil both at end of file and for an empty packet.
def library_recv(sock, most, room, flags)
  raise Unsupported if flags & Socket::MSG_TRUNC != 0

  payload, _, reported, *controls = open_socket(sock).recvmsg(most, flags, HEADER + 4 * room, scm_rights: true)
  rights = controls.select { |control| control.cmsg_is?(:SOCKET, :RIGHTS) }
  ios = rights.flat_map(&:unix_rights)
  ios.each { |io| io.autoclose = false }
  [payload, ios.map(&:fileno), reported]
end

serve
