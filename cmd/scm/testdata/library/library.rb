# Ruby's own recvmsg waits in poll whatever SO_RCVTIMEO says, and since Ruby 3.3 it loses the
# descriptors of an empty packet, so this library calls the C library.
require "fiddle"

MSGHDR = "JIx4JJJJix4" # of 64-bit systems
HEADER = "Jii" # of a control message
LIBC = Fiddle.dlopen(nil)
SENDMSG, RECVMSG = %w[sendmsg recvmsg].map do |name|
  Fiddle::Function.new(LIBC[name], [Fiddle::TYPE_INT, Fiddle::TYPE_VOIDP, Fiddle::TYPE_INT], -Fiddle::TYPE_SIZE_T)
end

def call(function, sock, payload, control, flags)
  iov = [Fiddle::Pointer[payload].to_i, payload.bytesize].pack("JJ")
  pointer = control.empty? ? 0 : Fiddle::Pointer[control].to_i
  message = [0, 0, Fiddle::Pointer[iov].to_i, 1, pointer, control.bytesize, 0].pack(MSGHDR)
  n = function.call(sock, message, flags)
  raise SystemCallError.new(nil, Fiddle.last_error) if n < 0

  [n, *message.unpack(MSGHDR).last(2)]
end

def library_send(sock, payload, fds)
  control = fds.empty? ? "" : [16 + 4 * fds.size, 1, 1, *fds].pack("#{HEADER}i*x#{4 * (fds.size % 2)}")
  call(SENDMSG, sock, payload, control, 0).first
end

def library_recv(sock, most, room)
  payload, control = "\0".b * most, "\0".b * (room.positive? ? 16 + 4 * room : 0)
  n, length, flags = call(RECVMSG, sock, payload, control, 0x40000000) # MSG_CMSG_CLOEXEC
  control, fds = control.byteslice(0, length), []
  while control.bytesize >= 16
    size, level, type = control.unpack(HEADER)
    data = control.byteslice(16...size).unpack("i*")
    fds.concat(data) if [level, type] == [1, 1] # SCM_RIGHTS
    data.each { |fd| IO.for_fd(fd).close } if [level, type] == [1, 4] # SCM_PIDFD
    control = control.byteslice(((size + 7) & ~7)..) || ""
  end
  [payload.byteslice(0, n), fds, flags]
end
