-- The part that all peers in Lua have in common. It reads commands from standard input and answers on standard
-- output. It returns a function that a peer calls with its library, a table with these fields:
--
--   hello                        the fields of the answer to hello, except lang
--   open(sock)                   returns an object for the socket, which owns the descriptor from then on
--   send(object, payload, fds)   sends a message, and returns the count, or nil and an error
--   recv(object, bytes, room)    receives a message, and returns the payload and a list of objects, or nil and an error
--   fd(object)                   returns the descriptor of the socket, or of a received file
--   close(object)                closes it
--
-- An error is an errno, "unsupported", "eof" or a text of the library's own.

local unistd = require "posix.unistd"

local MAX_INT, MAX_PAYLOAD = 2 ^ 31 - 1, 64 << 20
local library
local sock -- the socket of the case
local held = {} -- by descriptor: an object of the library, or true for a file that the peer was given

local function integer(text, least, most)
	if not text:match "^0$" and not text:match "^%-?[1-9]%d*$" or #text > 11 then
		return nil
	end
	local n = math.tointeger(tonumber(text))
	return n and n >= least and n <= most and n or nil
end

local function integers(text, least)
	local list = {}
	if text ~= "-" then
		for word in (text .. ","):gmatch "(.-)," do
			list[#list + 1] = integer(word, least, MAX_INT) or error "unsupported"
		end
	end
	return list
end

local function pattern(length, at)
	local period = {}
	for i = 0, 250 do
		period[#period + 1] = string.char((at + i) % 251)
	end
	return table.concat(period):rep(length // 251 + 1):sub(1, length)
end

local function payload(text, at)
	if text:sub(1, 1) == "@" then
		return pattern(integer(text:sub(2), 1, MAX_PAYLOAD) or error "unsupported", at)
	end
	local hex = text == "-" and "" or text
	if #hex % 2 == 1 or hex:match "[^0-9a-f]" or text == "" then
		error "unsupported"
	end
	return (hex:gsub("..", function(byte) return string.char(tonumber(byte, 16)) end))
end

local function shown(data, at)
	if #data == 0 then
		return "-"
	elseif #data <= 4096 then
		return (data:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
	end
	local wanted = pattern(#data, at)
	if data == wanted then
		return "@" .. #data
	end
	for i = 1, #data do
		if data:byte(i) ~= wanted:byte(i) then
			return "!" .. i - 1
		end
	end
end

local function failed(why)
	if why == "unsupported" then
		return why
	elseif why == "eof" then
		return "ok n=0 payload=- fds=- eof"
	elseif math.type(why) == "integer" and why > 0 then
		return "err " .. why
	end
	return "err lib " .. tostring(why):gsub("%s+", " ")
end

local function close(fd)
	local object = held[fd]
	held[fd] = nil
	if object == true then
		unistd.close(fd)
	else
		library.close(object)
	end
end

-- Each command has its fields, those that may be left out with a default, and a function.
local commands = {}

commands.hello = { {}, {}, function() return "ok lang=lua " .. library.hello end }

commands.use = { { "sock" }, { fds = "-" }, function(f)
	local number, files = integer(f.sock, 0, MAX_INT) or error "unsupported", integers(f.fds, 0)
	commands["end"][3]()
	for _, fd in ipairs(files) do
		held[fd] = true
	end
	sock = library.open(number)
	held[number] = sock
	return "ok"
end }

commands.send = { { "payload", "fds" }, { at = "0", flags = "-" }, function(f)
	local at = integer(f.at, 0, MAX_INT) or error "unsupported"
	local data, fds = payload(f.payload, at), integers(f.fds, -MAX_INT - 1)
	if not sock or f.flags ~= "-" then
		return "unsupported"
	end
	local n, why = library.send(sock, data, fds)
	return n and "ok n=" .. n or failed(why)
end }

commands.recv = { { "bytes", "fds" }, { at = "0", flags = "-" }, function(f)
	local at = integer(f.at, 0, MAX_INT) or error "unsupported"
	local bytes, room = integer(f.bytes, 0, MAX_PAYLOAD), integer(f.fds, 0, 65535)
	if not bytes or not room or not sock or f.flags ~= "-" then
		return "unsupported"
	end
	local data, objects = library.recv(sock, bytes, room)
	if not data then
		return failed(objects)
	end
	local fds = {}
	for i, object in ipairs(objects) do
		fds[i] = library.fd(object)
		held[fds[i]] = object
	end
	local list = #fds > 0 and table.concat(fds, ",") or "-"
	return ("ok n=%d payload=%s fds=%s"):format(#data, shown(data, at), list)
end }

commands.close = { { "fds" }, {}, function(f)
	local fds = integers(f.fds, 0)
	for _, fd in ipairs(fds) do
		if not held[fd] then
			return "unsupported"
		end
	end
	for _, fd in ipairs(fds) do
		if held[fd] then -- a descriptor may be named twice
			if held[fd] == sock then
				sock = nil
			end
			close(fd)
		end
	end
	return "ok"
end }

commands["end"] = { {}, {}, function()
	sock = nil
	for fd in pairs(held) do
		close(fd)
	end
	return "ok"
end }

local function answer(line)
	local words = {}
	for word in (line .. " "):gmatch "(.-) " do
		words[#words + 1] = word
	end
	local command = commands[words[1]]
	if not command then
		return "unsupported"
	end
	local needed, defaults, run = table.unpack(command)
	local known, fields = {}, {}
	for _, key in ipairs(needed) do
		known[key] = true
	end
	for i = 2, #words do
		local key, value = words[i]:match "^(.-)=(.*)$"
		if not key or fields[key] or not known[key] and not defaults[key] then
			return "unsupported"
		end
		fields[key] = value
	end
	for key, value in pairs(defaults) do
		fields[key] = fields[key] or value
	end
	for _, key in ipairs(needed) do
		if not fields[key] then
			return "unsupported"
		end
	end
	return run(fields)
end

return function(functions)
	library = functions
	for line in io.lines() do
		local ok, text = pcall(answer, line)
		io.write(ok and text or failed(text:match "unsupported$" or text), "\n")
		io.flush()
	end
end
