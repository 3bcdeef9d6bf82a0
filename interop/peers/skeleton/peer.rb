# A peer for scm interop: it does what it is told on standard input, and answers on standard output.
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

  fds.each { |fd| IO.for_fd(HELD.delete(fd)).close }
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

def send_one(payload, fds)
  data = [formed(/\A(-|(\h\h)+)\z/, payload).delete("-")].pack("H*")
  "ok n=#{library_send(HELD[0], data, numbers(fds))}"
end

def recv_one(most, room)
  payload, fds = library_recv(HELD[0], number(most), number(room))
  HELD.concat(fds)
  raise Unsupported if payload.bytesize > 4096 # the contract has another form for these

  shown = payload.empty? ? "-" : payload.unpack1("H*")
  "ok n=#{payload.bytesize} payload=#{shown} fds=#{fds.empty? ? "-" : fds.join(",")}"
end

def answer(line)
  verb, *words = line.split(" ", -1)
  fields = words.to_h { |word| word.split("=", 2) + [""] * (word.include?("=") ? 0 : 1) }
  case [verb, *fields.keys.sort].join(" ")
  when "hello" then return "ok name=mine lang=ruby version=0 can=stream,dgram,seqpacket,multi"
  when "send fds payload" then return send_one(fields["payload"], fields["fds"])
  when "recv bytes fds" then return recv_one(fields["bytes"], fields["fds"])
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
