# A peer for scm interop: it reads commands on standard input and answers on standard output.
# Call your library in library_send and library_recv. Raise Unsupported if it has no interface
# for the command. Any other StandardError becomes an error answer.
#
#     ruby peer.rb

require "socket"

MAX_INT = 2**31 - 1
MAX_PAYLOAD = 64 << 20

class Unsupported < StandardError; end

# Use your library's name and version. Expected failures can depend on the version.
# In can=, multi promises several descriptors in a message, iov several buffers, and flags
# calls with flags of the caller's choice, rather than the flags that a receive reports.
# If the library waits in an event loop, add polls=yes.
$hello = "name=mine version=0 can=stream,dgram,seqpacket,multi"

# Sends the payload and the descriptors, and returns the count that the library reports. The socket
# and the descriptors are borrowed, here and in library_recv: set autoclose = false in an IO made from
# one, because the garbage collector otherwise closes it. Without flags in can=, the flags are 0.
def library_send(_sock, _payload, _fds, _flags)
  raise Unsupported
end

# Receives at most this many bytes and descriptors. Returns the payload (nil if the library reports the
# end of the stream), the descriptors, and msg_flags or, if the library reports no flags, nil.
def library_recv(_sock, _most, _room, _flags)
  raise Unsupported
end

$held = [] # the socket of the case, its files, and the descriptors received
$sock = nil

def close(fds)
  raise Unsupported unless (fds - $held).empty?
  $held -= fds
  # The library may have reported a descriptor that is not open.
  fds.uniq.each { |fd| IO.for_fd(fd).close rescue nil }
end

def integer(text, range = 0..MAX_INT)
  text.match?(/\A(0|-?[1-9]\d{0,9})\z/) && range.cover?(text.to_i) ? text.to_i : raise(Unsupported)
end

def integers(text, range = 0..MAX_INT)
  raise Unsupported if text.empty?
  text == "-" ? [] : text.split(",", -1).map { |word| integer(word, range) }
end

def listed(items)
  items.empty? ? "-" : items.join(",")
end

def pattern(length, at)
  period = Array.new(251) { |i| (at + i) % 251 }.pack("C*")
  (period * (length / 251 + 1)).byteslice(0, length)
end

def payload_of(text, at)
  return pattern(integer(text[1..], 1..MAX_PAYLOAD), at) if text.start_with?("@")
  raise Unsupported unless text.match?(/\A(-|([0-9a-f]{2})+)\z/)
  [text.delete("-")].pack("H*")
end

def shown(payload, at)
  return payload.empty? ? "-" : payload.unpack1("H*") if payload.bytesize <= 4096
  wanted = pattern(payload.bytesize, at)
  return "@#{payload.bytesize}" if payload.b == wanted
  "!#{(0...payload.bytesize).find { |i| payload.getbyte(i) != wanted.getbyte(i) }}"
end

def bits(names)
  names.sum { |name| Socket.const_get("MSG_#{name.upcase}") }
end

def shown_flags(flags)
  names = %w[ctrunc trunc eor oob].select { |name| flags & bits([name]) != 0 }
  rest = flags & ~bits(names) & ~0x40000000 # MSG_CMSG_CLOEXEC is not reported
  listed(rest == 0 ? names : [*names, format("%#x", rest)])
end

# Returns the fields at and flags. The names are those of the flags that the command can have.
def options(fields, names)
  flags = fields.fetch("flags", "-") == "-" ? [] : fields["flags"].split(",", -1)
  raise Unsupported if !$held.include?($sock) || fields["flags"] == "" || (flags - names).any?
  [integer(fields.fetch("at", "0")), bits(flags)]
end

def send_one(fields)
  at, flags = options(fields, %w[dontwait nosignal eor oob more])
  payload, fds = payload_of(fields["payload"], at), integers(fields["fds"], (-MAX_INT - 1)..MAX_INT)
  "ok n=#{library_send($sock, payload, fds, flags)}"
end

def recv_one(fields)
  at, flags = options(fields, %w[dontwait peek trunc waitall oob])
  most, room = integer(fields["bytes"], 0..MAX_PAYLOAD), integer(fields["fds"], 0..65_535)
  payload, fds, flags = library_recv($sock, most, room, flags)
  return "ok n=0 payload=- fds=- eof" unless payload

  $held |= fds
  said = "ok n=#{payload.bytesize} payload=#{shown(payload, at)} fds=#{listed(fds)}"
  flags ? "#{said} flags=#{shown_flags(flags)}" : said
end

def answer(line)
  # A pattern, because split(" ") skips leading spaces and runs of spaces.
  verb, *words = line.split(/ /, -1)
  fields = words.to_h { |word| word.partition("=").values_at(0, 2) }
  raise Unsupported if fields.size < words.size # a field occurs twice

  case [verb, *fields.keys.sort].join(" ")
  when "hello" then return "ok lang=ruby #{$hello}"
  when /\Asend( at)? fds( flags)? payload\z/ then return send_one(fields)
  when /\Arecv( at)? bytes fds( flags)?\z/ then return recv_one(fields)
  when "close fds" then close(integers(fields["fds"]))
  when "use sock", "use fds sock"
    sock, fds = integer(fields["sock"]), integers(fields.fetch("fds", "-"))
    close($held)
    $sock, $held = sock, [sock, *fds]
  when "end" then close($held)
  else raise Unsupported
  end
  "ok"
rescue Unsupported
  "unsupported"
rescue StandardError => e
  known = e.is_a?(SystemCallError) && e.errno.to_i.between?(1, 4095)
  known ? "err #{e.errno}" : "err lib #{e.message.dump[1..-2]}"
end

def serve
  trap("PIPE", "IGNORE")
  $stdin.binmode
  $stdout.sync = true
  while (line = $stdin.gets)
    puts answer(line.chomp("\n"))
  end
end

serve if $PROGRAM_NAME == __FILE__
