# A peer for scm interop: it reads commands on standard input and answers on standard output.
# Call your library in library_send and library_recv. Raise Unsupported if it has no interface
# for the command. Any other StandardError becomes an error answer.
#
#     ruby peer.rb

MAX_INT = 2**31 - 1
MAX_PAYLOAD = 64 << 20

class Unsupported < StandardError; end

# Sends the payload and the descriptors, and returns the count that the library reports. The socket
# and the descriptors are borrowed, here and in library_recv: set autoclose = false in an IO made from
# one, because the garbage collector otherwise closes it.
def library_send(_sock, _payload, _fds)
  raise Unsupported
end

# Receives at most this many bytes and descriptors. Returns the payload, the descriptors, and
# msg_flags or, if the library reports no flags, nil.
def library_recv(_sock, _most, _room)
  raise Unsupported
end

$held = [] # the socket of the case, its files, and the descriptors received
$sock = nil

def close(fds)
  raise Unsupported unless (fds - $held).empty?

  $held -= fds
  fds.uniq.each do |fd|
    IO.for_fd(fd).close
  rescue SystemCallError
    nil # the library may have reported a descriptor that is not open
  end
end

def integer(text, range = 0..MAX_INT)
  raise Unsupported unless text.match?(/\A(0|-?[1-9]\d{0,9})\z/) && range.cover?(text.to_i)

  text.to_i
end

def integers(text, range = 0..MAX_INT)
  return [] if text == "-"
  raise Unsupported if text.empty?

  text.split(",", -1).map { |word| integer(word, range) }
end

# Returns the bytes of the payload @N.
def pattern(length, at)
  period = Array.new(251) { |i| (at + i) % 251 }.pack("C*")
  (period * (length / 251 + 1)).byteslice(0, length)
end

def payload_of(text, at)
  case text
  when "-" then "".b
  when /\A@/ then pattern(integer(text[1..], 1..MAX_PAYLOAD), at)
  when /\A([0-9a-f]{2})+\z/ then [text].pack("H*")
  else raise Unsupported
  end
end

def shown(payload, at)
  return payload.empty? ? "-" : payload.unpack1("H*") if payload.bytesize <= 4096

  wanted = pattern(payload.bytesize, at)
  return "@#{payload.bytesize}" if payload.b == wanted

  "!#{(0...payload.bytesize).find { |i| payload.getbyte(i) != wanted.getbyte(i) }}"
end

def shown_flags(flags)
  flags &= ~0x40000000 # MSG_CMSG_CLOEXEC is not reported
  names = { "oob" => 0x1, "ctrunc" => 0x8, "trunc" => 0x20, "eor" => 0x80 }.filter_map do |name, bit|
    name if flags & bit != 0
  end
  flags &= ~0xa9
  names << format("%#x", flags) if flags != 0
  names.empty? ? "-" : names.join(",")
end

def send_one(fields)
  payload = payload_of(fields["payload"], integer(fields.fetch("at", "0")))
  fds = integers(fields["fds"], (-MAX_INT - 1)..MAX_INT)
  raise Unsupported unless $held.include?($sock)

  "ok n=#{library_send($sock, payload, fds)}"
end

def recv_one(fields)
  at = integer(fields.fetch("at", "0"))
  most, room = integer(fields["bytes"], 0..MAX_PAYLOAD), integer(fields["fds"], 0..65_535)
  raise Unsupported unless $held.include?($sock)

  payload, fds, flags = library_recv($sock, most, room)
  $held |= fds
  said = "ok n=#{payload.bytesize} payload=#{shown(payload, at)} fds=#{fds.empty? ? "-" : fds.join(",")}"
  flags ? "#{said} flags=#{shown_flags(flags)}" : said
end

def answer(line)
  # A pattern, because split(" ") skips leading spaces and runs of spaces.
  verb, *words = line.split(/ /, -1)
  fields = words.to_h { |word| word.partition("=").values_at(0, 2) }
  raise Unsupported if fields.size < words.size # a field occurs twice

  case [verb, *fields.keys.sort].join(" ")
  when "hello"
    # Use your library's name and version. Expected failures can depend on the version.
    return "ok name=mine lang=ruby version=0 can=stream,dgram,seqpacket,multi"
  when "send fds payload", "send at fds payload" then return send_one(fields)
  when "recv bytes fds", "recv at bytes fds" then return recv_one(fields)
  when "close fds" then close(integers(fields["fds"]))
  when "use sock", "use fds sock"
    sock, fds = integer(fields["sock"]), integers(fields.fetch("fds", "-"))
    close($held)
    $sock, $held = sock, [sock, *fds]
  when "end" then close($held)
  else raise Unsupported
  end
  "ok"
end

trap("PIPE", "IGNORE")
$stdin.binmode
$stdout.sync = true
while (line = $stdin.gets)
  begin
    puts answer(line.chomp("\n"))
  rescue Unsupported
    puts "unsupported"
  rescue StandardError => e
    known = e.is_a?(SystemCallError) && e.errno.to_i.between?(1, 4095)
    puts known ? "err #{e.errno}" : "err lib #{e.inspect.dump}"
  end
end
