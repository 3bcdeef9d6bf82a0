-- Peer for socket:sendfd and socket:recvfd of cqueues, which pass one descriptor with some bytes. What they
-- receive is a socket object, whatever the file is.

package.path = arg[0]:match "^(.*/)" .. "?.lua;" .. package.path

local cqueues = require "cqueues"
local signal = require "cqueues.signal"
local socket = require "cqueues.socket"
local serve = require "peer"

signal.ignore(signal.SIGPIPE)

serve {
	hello = "name=lua-cqueues version=" .. cqueues.VERSION
		.. " can=stream,dgram,seqpacket room=4096,1 polls=yes",

	open = function(sock)
		local object = assert(socket.fdopen(sock))
		object:onerror(function(_, _, why) return why end)
		return object
	end,

	-- The library reports an error again until it is cleared.
	send = function(object, payload, fds)
		if #fds ~= 1 then
			return nil, "unsupported"
		end
		local ok, why = object:sendfd(payload, fds[1])
		object:clearerr()
		return ok and #payload, why
	end,

	-- recvfd returns neither a message nor an error at the end of a stream.
	recv = function(object)
		local payload, file, why = object:recvfd()
		object:clearerr()
		if not payload then
			return nil, why or "eof"
		end
		return payload, { file }
	end,

	fd = function(object) return object:pollfd() end,
	close = function(object) object:close() end,
}
