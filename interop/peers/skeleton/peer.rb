# A peer for scm interop: it reads commands on standard input and answers on standard output.
# Call your library in library_send and library_recv.
#
#     ruby peer.rb

require "socket"

class Unsupported < StandardError; end

# Sends the payload and the descriptors, and returns the count that the library reports.
def library_send(_sock, _payload, _fds)
  raise Unsupported
end

# Receives at most so many bytes and descriptors, and returns the payload and the list of numbers.
def library_recv(_sock, _most, _room)
  raise Unsupported
end

HELD = [] # the socket of the case, its files, and what was received

def close(fds)
  raise Unsupported unless (fds - HELD).empty?

  fds.each do |fd|
    IO.for_fd(HELD.delete(fd)).close
  rescue SystemCallError
    nil # the library may have reported what is not open
  end
end

def formed(form, text)
  raise Unsupported unless form.match?(text)

  text
end

def number(text)
  formed(/\A(0|[1-9]\d{0,8})\z/, text).to_i
end

def numbers(text)
  formed(/\A(-|-?\d+(,-?\d+)*)\z/, text) == "-" ? [] : text.split(",").map(&:to_i)
end

# The bytes that @N stands for.
def pattern(length, at)
  Array.new(length) { |i| (at + i) % 251 }.pack("C*")
end

def shown(payload, at)
  return payload.empty? ? "-" : payload.unpack1("H*") if payload.bytesize <= 4096

  wanted = pattern(payload.bytesize, at)
  return "@#{payload.bytesize}" if payload.b == wanted

  "!#{wanted.bytes.zip(payload.bytes).index { |a, b| a != b }}"
end

def send_one(payload, fds, at)
  data = if payload.start_with?("@")
           pattern(number(payload[1..]), at)
         else
           [formed(/\A(-|(\h\h)+)\z/, payload).delete("-")].pack("H*")
         end
  "ok n=#{library_send(HELD[0], data, numbers(fds))}"
end

def recv_one(most, room, at)
  payload, fds = library_recv(HELD[0], number(most), number(room))
  HELD.concat(fds)
  "ok n=#{payload.bytesize} payload=#{shown(payload, at)} fds=#{fds.empty? ? "-" : fds.join(",")}"
end

def answer(line)
  verb, *words = line.split(" ", -1)
  fields = words.to_h { |word| word.split("=", 2) + [""] * (word.include?("=") ? 0 : 1) }
  at = number(fields.delete("at") || "0")
  case [verb, *fields.keys.sort].join(" ")
  when "hello" then return "ok name=mine lang=ruby version=0 can=stream,dgram,seqpacket,multi"
  when "send fds payload" then return send_one(fields["payload"], fields["fds"], at)
  when "recv bytes fds" then return recv_one(fields["bytes"], fields["fds"], at)
  when "close fds" then close(numbers(fields["fds"]))
  when "use fds sock"
    close(HELD.dup)
    HELD.push(number(fields["sock"]), *numbers(fields["fds"]))
  when "end" then close(HELD.dup)
  else raise Unsupported
  end
  "ok"
end

trap("PIPE", "IGNORE")
$stdout.sync = true
while (line = $stdin.gets)
  begin
    puts answer(line.chomp)
  rescue Unsupported
    puts "unsupported"
  rescue SystemCallError => e
    puts "err #{e.errno}"
  end
end
