# frozen_string_literal: true

# The common part of the peers in Ruby, which implements interop/peers/README.md.

require "socket"

PAYLOAD_MAX = 64 << 20
INT = -2**31..2**31 - 1

def bits(names)
  names.split.to_h { |name| [name, Socket.const_get("MSG_#{name.upcase}")] }
end

SEND = bits("dontwait nosignal eor oob more")
RECV = bits("dontwait peek trunc waitall oob")
REPORTED = bits("ctrunc trunc eor oob")
MSG_CMSG_CLOEXEC = 0x40000000 # Ruby sets it but has no constant for it

# The peer or the library does not support the command, and nothing was done.
class Unsupported < StandardError; end

def unsupported_unless(condition)
  condition or raise Unsupported
end

def items(text)
  unsupported_unless(text != "")
  text == "-" ? [] : text.split(",", -1)
end

# Accepts an integer only as it would be printed. Integer() also accepts +3, 0x3 and 1_000.
def integer(text, range)
  n = text.to_i
  unsupported_unless(n.to_s == text && range.cover?(n))
  n
end

def integers(text, range = 0..INT.end)
  items(text).map { |word| integer(word, range) }
end

def flags(text, known)
  items(text).sum { |name| known[name] or raise Unsupported }
end

def pattern(at, count)
  period = (0...251).to_a.rotate(at).pack("C*")
  (period * (count / 251 + 1)).byteslice(0, count)
end

def buffer(text, at)
  case text
  when "-" then "".b
  when /\A@/ then pattern(at, integer(text[1..], 1..PAYLOAD_MAX))
  when /\A(\h\h)+\z/ then [text.tap { unsupported_unless(text.downcase == text) }].pack("H*")
  else raise Unsupported
  end
end

def format_payload(data, at)
  return data.empty? ? "-" : data.unpack1("H*") if data.bytesize <= 4096

  expected = pattern(at, data.bytesize)
  return "@#{data.bytesize}" if data == expected

  "!#{(0...data.bytesize).find { |i| data.getbyte(i) != expected.getbyte(i) }}"
end

def format_flags(flags)
  flags &= ~MSG_CMSG_CLOEXEC
  names = REPORTED.keys.select { |name| flags & REPORTED[name] != 0 }
  rest = flags & ~REPORTED.values.sum
  names << format("%#x", rest) if rest != 0
  names.empty? ? "-" : names.join(",")
end

# One interface of a library. The subclass defines HELLO, open_socket, send_message and
# recv_message. The received IO objects stay referenced in held, because an IO object
# closes its descriptor when it is garbage collected.
class Peer
  def answer(line)
    # A pattern, because split(" ") skips leading spaces and runs of spaces.
    verb, *words = line.split(/ /, -1)
    fields = words.to_h { |word| word.split("=", 2).tap { |pair| unsupported_unless(pair.size == 2) } }
    unsupported_unless(fields.size == words.size && %w[hello use send recv close end].include?(verb))
    public_send("do_#{verb}", **fields.transform_keys(&:to_sym))
  rescue Unsupported, ArgumentError
    "unsupported"
  end

  def do_hello
    "ok lang=ruby version=#{RUBY_VERSION} #{self.class::HELLO}"
  end

  def do_use(sock:, fds: "-")
    sock, *fds = integer(sock, 0..INT.end), *integers(fds)
    do_end
    @sock = sock
    @held = [sock, *fds].to_h { |fd| [fd, nil] }
    "ok"
  end

  def do_send(payload:, fds:, at: "0", flags: "-")
    data = buffer(payload, integer(at, 0..2**63 - 1))
    fds, flags = integers(fds, INT), flags(flags, SEND)
    call { |socket| "ok n=#{send_message(socket, data, fds, flags)}" }
  end

  def do_recv(bytes:, fds:, at: "0", flags: "-")
    size, room = integer(bytes, 0..PAYLOAD_MAX), integer(fds, 0..65_535)
    at, flags = integer(at, 0..2**63 - 1), flags(flags, RECV)
    call do |socket|
      data, ios, reported = recv_message(socket, size, room, flags)
      next "ok n=0 payload=- fds=- eof" unless data

      ios.each { |io| @held[io.fileno] = io }
      fds = ios.empty? ? "-" : ios.map(&:fileno).join(",")
      answer = "ok n=#{data.bytesize} payload=#{format_payload(data, at)} fds=#{fds}"
      reported ? "#{answer} flags=#{format_flags(reported)}" : answer
    end
  end

  def do_close(fds:)
    close(integers(fds).uniq)
  end

  def do_end
    close((@held || {}).keys)
    @sock = @held = nil
    "ok"
  end

  private

  def call
    unsupported_unless(@held&.key?(@sock))
    yield @held[@sock] ||= open_socket(@sock)
  rescue SystemCallError => e
    # ENOTSUP has the same value, and the socket manuals do not use it.
    "err #{e.class.name.delete_prefix('Errno::').sub(/\AENOTSUP\z/, 'EOPNOTSUPP')}"
  rescue SocketError, IOError, ArgumentError, TypeError, RangeError => e
    "err lib #{e.message}"
  end

  def close(fds)
    unsupported_unless(fds.all? { |fd| @held&.key?(fd) })
    fds.each { |fd| (@held.delete(fd) || IO.for_fd(fd)).close }
    "ok"
  end
end

def serve(peer)
  trap("PIPE", "IGNORE")
  $stdin.binmode
  $stdout.binmode
  while (line = $stdin.gets)
    $stdout.puts(peer.answer(line.chomp("\n")))
    $stdout.flush
  end
end
