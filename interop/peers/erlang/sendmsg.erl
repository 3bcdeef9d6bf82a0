%% Peer for sendmsg and recvmsg of Erlang/OTP's module socket, which hand over descriptors as
%% bytes of a control message. The contract is interop/peers/README.md.

-module(sendmsg).
-export([start/0]).

-define(HELLO, "ok name=erlang lang=erlang can=stream,dgram,seqpacket,multi,iov,flags polls=yes").
-define(PAYLOAD_MAX, (64 bsl 20)).
-define(INT_MIN, -16#80000000).
-define(INT_MAX, 16#7fffffff).
-define(LONG_MAX, 16#7fffffffffffffff).
%% The size of a control message's header, because Erlang has no CMSG_LEN.
-define(HEADER, 16).
-define(OPTIONS, [{"at", "0"}, {"flags", "-"}]).
-define(SEND, #{"nosignal" => nosignal, "eor" => eor, "oob" => oob, "more" => more}).
%% socket has no name for MSG_WAITALL.
-define(RECV, #{"peek" => peek, "trunc" => trunc, "oob" => oob}).
-define(REPORTED, [ctrunc, trunc, eor, oob]).

%% sock is the descriptor of the case's socket. held has the descriptors that were given or
%% received and are still open, with the library's socket if there is one.
-type state() :: #{sock := none | integer(), held := #{integer() => none | socket:socket()}}.

-spec start() -> no_return().
start() ->
    %% OTP loads a module from its file when it is first called, and a scenario may have filled the
    %% peer's descriptor table.
    ok = code:ensure_modules_loaded([io_lib, io_lib_format, io_lib_pretty, socket, string, unicode_util]),
    ok = io:setopts([binary, {encoding, latin1}]),
    serve(#{sock => none, held => #{}}).

-spec serve(state()) -> no_return().
serve(State) ->
    case io:get_line("") of
        eof ->
            halt(0);
        Line ->
            {Answer, Next} =
                try
                    perform(string:split(string:chomp(binary_to_list(Line)), " ", all), State)
                catch
                    throw:unsupported -> {"unsupported", State}
                end,
            ok = io:put_chars([Answer, "\n"]),
            serve(Next)
    end.

perform(["hello"], State) ->
    {[?HELLO, " version=", version()], State};
perform(["use" | Words], State) ->
    [Sock, FDs] = values([{"sock", required}, {"fds", "-"}], Words),
    Given = [integer(Sock, 0, ?INT_MAX) | integers(FDs, 0)],
    close(all, State),
    {"ok", #{sock => hd(Given), held => maps:from_keys(Given, none)}};
perform(["send" | Words], State) ->
    [Payload, FDs, At, Flags] = values([{"payload", required}, {"fds", required} | ?OPTIONS], Words),
    Buffers = buffers(items(Payload), integer(At, 0, ?LONG_MAX)),
    Numbers = integers(FDs, ?INT_MIN),
    {Timeout, Known} = flags(Flags, ?SEND),
    call(fun(Socket) -> send(Socket, Buffers, Numbers, Known, Timeout) end, State);
perform(["recv" | Words], State) ->
    [Bytes, FDs, At, Flags] = values([{"bytes", required}, {"fds", required} | ?OPTIONS], Words),
    %% A size of 0 stands for the library's own.
    Size = integer(Bytes, 1, ?PAYLOAD_MAX),
    Room = integer(FDs, 0, 65535),
    Start = integer(At, 0, ?LONG_MAX),
    {Timeout, Known} = flags(Flags, ?RECV),
    call(fun(Socket) -> recv(Socket, Size, Room, Start, Known, Timeout) end, State);
perform(["close" | Words], State) ->
    [FDs] = values([{"fds", required}], Words),
    {"ok", close(integers(FDs, 0), State)};
perform(["end"], State) ->
    {"ok", close(all, State)};
perform(_, _) ->
    throw(unsupported).

version() ->
    Release = erlang:system_info(otp_release),
    {ok, Text} = file:read_file(filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"])),
    string:trim(Text).

%% The values of the fields, in the order of Known. No other field is allowed.
values(Known, Words) ->
    Fields = [list_to_tuple(string:split(Word, "=")) || Word <- Words],
    Keys = [element(1, Field) || Field <- Fields],
    unsupported_unless(lists:all(fun(Field) -> tuple_size(Field) =:= 2 end, Fields)),
    unsupported_unless(length(Keys) =:= length(lists:usort(Keys))),
    unsupported_unless(Keys -- proplists:get_keys(Known) =:= []),
    [value(lists:keyfind(Key, 1, Fields), Default) || {Key, Default} <- Known].

value({_, Text}, _) -> Text;
value(false, required) -> throw(unsupported);
value(false, Default) -> Default.

unsupported_unless(true) -> ok;
unsupported_unless(false) -> throw(unsupported).

items("-") -> [];
items(Text) -> string:split(Text, ",", all).

%% Accepts an integer only as it would be printed. list_to_integer also accepts +3 and 03.
integer(Text, Least, Most) ->
    case string:to_integer(Text) of
        {N, []} when is_integer(N), Least =< N, N =< Most ->
            unsupported_unless(integer_to_list(N) =:= Text),
            N;
        _ ->
            throw(unsupported)
    end.

integers(Text, Least) ->
    [integer(Word, Least, ?INT_MAX) || Word <- items(Text)].

%% socket has no MSG_DONTWAIT: a timeout of 0 is its way not to wait.
flags(Text, Known) ->
    {Waiting, Named} = lists:partition(fun(Name) -> Name =:= "dontwait" end, items(Text)),
    Flags = [maps:get(Name, Known, unsupported) || Name <- Named],
    unsupported_unless(not lists:member(unsupported, Flags)),
    {if Waiting =:= [] -> infinity; true -> 0 end, Flags}.

buffers(Words, At) ->
    {Buffers, _} = lists:mapfoldl(fun buffer/2, At, Words),
    unsupported_unless(iolist_size(Buffers) =< ?PAYLOAD_MAX),
    Buffers.

buffer("@" ++ Digits, At) ->
    Count = integer(Digits, 1, ?PAYLOAD_MAX),
    {pattern(At, Count), At + Count};
buffer(Text, At) ->
    Lower = lists:all(fun(C) -> C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $f end, Text),
    unsupported_unless(Lower andalso Text =/= "" andalso length(Text) rem 2 =:= 0),
    Bytes = binary:decode_hex(list_to_binary(Text)),
    {Bytes, At + byte_size(Bytes)}.

pattern(At, Count) ->
    Period = << <<((At + I) rem 251)>> || I <- lists:seq(0, 250) >>,
    binary:part(binary:copy(Period, Count div 251 + 1), 0, Count).

call(Function, #{sock := Sock, held := Held} = State) ->
    case maps:get(Sock, Held, closed) of
        closed ->
            throw(unsupported);
        none ->
            case socket:open(Sock, #{dup => false}) of
                {ok, Socket} ->
                    %% The default is not enough for 253 descriptors.
                    ok = socket:setopt(Socket, {otp, sndctrlbuf}, 16#10000),
                    call(Function, State#{held := Held#{Sock := Socket}});
                {error, Reason} -> {failed(Reason), State}
            end;
        Socket ->
            {Answer, FDs} = Function(Socket),
            {Answer, State#{held := maps:merge(Held, maps:from_keys(FDs, none))}}
    end.

send(Socket, Buffers, FDs, Flags, Timeout) ->
    Rights = #{level => socket, type => rights, data => << <<FD:32/native>> || FD <- FDs >>},
    Message = #{iov => Buffers, ctrl => [Rights || FDs =/= []]},
    Total = iolist_size(Buffers),
    Answer =
        case socket:sendmsg(Socket, Message, Flags, Timeout) of
            ok -> sent(Total);
            {ok, Rest} -> sent(Total - iolist_size(Rest));
            {error, {timeout, Rest}} when is_list(Rest) -> sent(Total - iolist_size(Rest));
            {error, {Reason, Rest}} when is_list(Rest) -> failed(Reason);
            {error, Reason} -> failed(Reason)
        end,
    {Answer, []}.

sent(Count) ->
    io_lib:format("ok n=~b", [Count]).

recv(Socket, Size, Room, At, Flags, Timeout) ->
    case socket:recvmsg(Socket, Size, ?HEADER + 4 * Room, [cmsg_cloexec | Flags], Timeout) of
        {ok, #{iov := IOV, ctrl := Control, flags := Reported}} ->
            Data = iolist_to_binary(IOV),
            All = [Rights || #{level := socket, type := rights, data := Rights} <- Control],
            FDs = [FD || Rights <- All, <<FD:32/native>> <= Rights],
            Numbers = [integer_to_list(FD) || FD <- FDs],
            Words = [byte_size(Data), payload(Data, At), list(Numbers), list(reported(Reported))],
            {io_lib:format("ok n=~b payload=~s fds=~s flags=~s", Words), FDs};
        %% The end of a stream.
        {error, closed} ->
            {"ok n=0 payload=- fds=- eof", []};
        {error, Reason} ->
            {failed(Reason), []}
    end.

payload(<<>>, _) ->
    "-";
payload(Data, _) when byte_size(Data) =< 4096 ->
    string:lowercase(binary:encode_hex(Data));
payload(Data, At) ->
    case binary:longest_common_prefix([Data, pattern(At, byte_size(Data))]) of
        Same when Same =:= byte_size(Data) -> [$@ | integer_to_list(Same)];
        Same -> [$! | integer_to_list(Same)]
    end.

reported(Flags) ->
    [atom_to_list(Name) || Name <- ?REPORTED, lists:member(Name, Flags)] ++
        ["0x" ++ string:lowercase(integer_to_list(Flag, 16)) || Flag <- Flags, is_integer(Flag)].

list([]) -> "-";
list(Words) -> lists:join($,, Words).

failed(timeout) -> "err EAGAIN";
failed(Reason) when is_atom(Reason) -> ["err ", string:uppercase(atom_to_list(Reason))];
failed(Reason) -> io_lib:format("err lib ~0tP", [Reason, 20]).

close(all, #{held := Held} = State) ->
    (close(maps:keys(Held), State))#{sock := none};
close(FDs, #{held := Held} = State) ->
    unsupported_unless(lists:all(fun(FD) -> is_map_key(FD, Held) end, FDs)),
    maps:foreach(fun close_one/2, maps:with(FDs, Held)),
    State#{held := maps:without(FDs, Held)}.

%% A socket that was opened with dup => false stays open after socket:close.
close_one(FD, none) -> close_descriptor(FD);
close_one(FD, Socket) ->
    _ = socket:close(Socket),
    close_descriptor(FD).

%% OTP documents no function that closes a descriptor. It has this one for descriptors that it
%% inherits.
close_descriptor(FD) ->
    case prim_file:file_desc_to_ref(FD, []) of
        {ok, File} -> prim_file:close(File);
        {error, _} = Error -> Error
    end.
