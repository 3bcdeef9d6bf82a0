# frozen_string_literal: true

# Peer for BasicSocket#sendmsg and #recvmsg with Socket::AncillaryData.unix_rights.

require_relative "peer"

class Sendmsg < Peer
  HELLO = "name=ruby-sendmsg can=stream,dgram,seqpacket,multi,flags"
  HEADER = [0, 0, 0].pack("Jii").bytesize # of a control message, because Ruby has no CMSG_LEN

  private

  def open_socket(sock)
    Socket.for_fd(sock)
  end

  # unix_rights takes IO objects. IO.for_fd asks the kernel about the descriptor, and
  # raises EBADF if it is not open.
  def send_message(socket, data, fds, flags)
    ios = fds.map { |fd| IO.for_fd(fd, autoclose: false) }
    rights = ios.empty? ? [] : [Socket::AncillaryData.unix_rights(*ios)]
    socket.sendmsg(data, flags, nil, *rights)
  end

  # Since Ruby 3.3 recvmsg returns nil both at end of file and for an empty packet.
  def recv_message(socket, size, room, flags)
    data, _, reported, *controls = socket.recvmsg(size, flags, HEADER + 4 * room, scm_rights: true)
    rights = controls.select { |control| control.cmsg_is?(:SOCKET, :RIGHTS) }
    [data, rights.flat_map(&:unix_rights), reported]
  end
end

serve(Sendmsg.new)
