<?php

// Peer for socket_sendmsg and socket_recvmsg. The contract is interop/peers/README.md.
//
// These functions pass streams and Socket objects, which do not reveal their
// descriptors. The peer keeps each received object, because its descriptor is closed
// with the last reference. PHP has no close, no fdopen and no check whether a
// descriptor is open, so the peer calls libc.

declare(strict_types=1);

const PAYLOAD_MAX = 64 << 20;
const INT_MIN = -2 ** 31;
const INT_MAX = 2 ** 31 - 1;
const SEND = ['dontwait' => MSG_DONTWAIT, 'nosignal' => MSG_NOSIGNAL, 'eor' => MSG_EOR, 'oob' => MSG_OOB, 'more' => MSG_MORE];
const RECV = ['dontwait' => MSG_DONTWAIT, 'peek' => MSG_PEEK, 'trunc' => MSG_TRUNC, 'waitall' => MSG_WAITALL, 'oob' => MSG_OOB];
const REPORTED = ['ctrunc' => MSG_CTRUNC, 'trunc' => MSG_TRUNC, 'eor' => MSG_EOR, 'oob' => MSG_OOB];

/** The peer or the library does not support the command, and nothing was done. */
class Unsupported extends Exception
{
}

/** The library's own error, or one of the kernel's. */
class Failed extends Exception
{
}

function unsupported_unless(bool $condition): void
{
    $condition or throw new Unsupported();
}

/** @return string[] */
function items(string $text): array
{
    unsupported_unless($text !== '');
    return $text === '-' ? [] : explode(',', $text);
}

/** Accepts an integer only as it would be printed. PHP also accepts +3, 03, 1e1 and 3x. */
function integer(string $text, int $least, int $most): int
{
    $n = (int) $text;
    unsupported_unless((string) $n === $text && $least <= $n && $n <= $most);
    return $n;
}

/** @return int[] */
function integers(string $text, int $least = 0): array
{
    return array_map(fn ($word) => integer($word, $least, INT_MAX), items($text));
}

function flags(string $text, array $known): int
{
    $flags = 0;
    foreach (items($text) as $name) {
        unsupported_unless(isset($known[$name]));
        $flags |= $known[$name];
    }
    return $flags;
}

function pattern(int $at, int $count): string
{
    $period = implode('', array_map(fn ($i) => chr(($at % 251 + $i) % 251), range(0, 250)));
    return substr(str_repeat($period, intdiv($count, 251) + 1), 0, $count);
}

/** @return string[] the buffers; the pattern continues from one to the next */
function buffers(string $text, int $at): array
{
    $buffers = [];
    $total = 0;
    foreach (explode(',', $text) as $word) {
        if ($word === '-') {
            $bytes = '';
        } elseif (str_starts_with($word, '@')) {
            $bytes = pattern($at % 251 + $total, integer(substr($word, 1), 1, PAYLOAD_MAX));
        } else {
            $digits = strlen($word);
            unsupported_unless($digits > 0 && $digits % 2 === 0 && strspn($word, '0123456789abcdef') === $digits);
            $bytes = hex2bin($word);
        }
        $buffers[] = $bytes;
        $total += strlen($bytes);
        unsupported_unless($total <= PAYLOAD_MAX);
    }
    return $buffers;
}

function format_payload(string $data, int $at): string
{
    $length = strlen($data);
    if ($length <= 4096) {
        return $length > 0 ? bin2hex($data) : '-';
    }
    $same = strspn($data ^ pattern($at, $length), "\0");
    return $same < $length ? "!$same" : "@$length";
}

function format_flags(int $flags): string
{
    $flags &= ~MSG_CMSG_CLOEXEC;
    $names = array_keys(array_filter(REPORTED, fn ($bit) => ($flags & $bit) !== 0));
    $rest = $flags & ~array_sum(REPORTED);
    if ($rest !== 0) {
        $names[] = sprintf('0x%x', $rest);
    }
    return implode(',', $names) ?: '-';
}

/** Returns the library's failure: the name of an errno, or an error of its own. */
function failed(): Failed
{
    $errno = socket_last_error();
    if ($errno === 0) {
        return new Failed('lib ' . (error_get_last()['message'] ?? 'no message'));
    }
    foreach (get_defined_constants(true)['sockets'] as $name => $value) {
        if ($value === $errno && str_starts_with($name, 'SOCKET_E')) {
            return new Failed(substr($name, strlen('SOCKET_')));
        }
    }
    return new Failed((string) $errno);
}

class Peer
{
    private ?int $sock = null;
    /** @var array<int, mixed> given or received, and still open, with the object if there is one */
    private array $held = [];
    private FFI $libc;

    public function __construct()
    {
        $this->libc = FFI::cdef('int close(int fd); int dup(int fd); int fcntl(int fd, int cmd);');
    }

    public function hello(): string
    {
        return 'ok name=php lang=php version=' . strtok(PHP_VERSION, '-') . ' can=stream,dgram,seqpacket,multi,iov,flags';
    }

    public function use(string $sock, string $fds = '-'): string
    {
        $given = [integer($sock, 0, INT_MAX), ...integers($fds)];
        $this->end();
        $this->sock = $given[0];
        $this->held = array_fill_keys($given, null);
        return 'ok';
    }

    public function send(string $payload, string $fds, string $at = '0', string $flags = '-'): string
    {
        $message = ['iov' => buffers($payload, integer($at, 0, PHP_INT_MAX))];
        $fds = integers($fds, INT_MIN);
        $flags = flags($flags, SEND);
        $socket = $this->socket();
        if ($fds !== []) {
            $objects = array_map(fn ($fd) => $this->held[$fd] ?? $this->fdopen($fd), $fds);
            $message['control'] = [['level' => SOL_SOCKET, 'type' => SCM_RIGHTS, 'data' => $objects]];
        }
        $n = @socket_sendmsg($socket, $message, $flags);
        return $n === false ? throw failed() : "ok n=$n";
    }

    public function recv(string $bytes, string $fds, string $at = '0', string $flags = '-'): string
    {
        // A receive has a single buffer.
        $size = integer($bytes, 0, PAYLOAD_MAX);
        $room = socket_cmsg_space(SOL_SOCKET, SCM_RIGHTS, integer($fds, 0, 65535));
        $at = integer($at, 0, PHP_INT_MAX);
        $flags = flags($flags, RECV);
        $socket = $this->socket();
        $free = $this->free();
        $message = ['name' => [], 'buffer_size' => $size, 'controllen' => $room];
        $n = @socket_recvmsg($socket, $message, $flags | MSG_CMSG_CLOEXEC);
        // If a control message is unknown, the library returns false for the whole message.
        if ($n === false || $message === false) {
            throw failed();
        }
        $objects = [];
        foreach ($message['control'] as $control) {
            if ($control['level'] === SOL_SOCKET && $control['type'] === SCM_RIGHTS) {
                array_push($objects, ...$control['data']);
            }
        }
        // The kernel installed the lowest unused descriptors, in order.
        $received = array_slice(array_values(array_filter($free, $this->is_open(...))), 0, count($objects));
        foreach ($received as $i => $fd) {
            $this->held[$fd] = $objects[$i];
        }
        return "ok n=$n payload=" . format_payload(implode('', $message['iov']), $at)
            . ' fds=' . (implode(',', $received) ?: '-') . ' flags=' . format_flags($message['flags']);
    }

    public function close(string $fds): string
    {
        $fds = array_unique(integers($fds));
        unsupported_unless(array_diff($fds, array_keys($this->held)) === []);
        foreach ($fds as $fd) {
            $object = $this->held[$fd];
            match (true) {
                $object === null => $this->libc->close($fd),
                $object instanceof Socket => socket_close($object),
                default => fclose($object),
            };
            unset($this->held[$fd]);
        }
        return 'ok';
    }

    public function end(): string
    {
        $this->close(implode(',', array_keys($this->held)) ?: '-');
        $this->sock = null;
        return 'ok';
    }

    private function socket(): Socket
    {
        unsupported_unless($this->sock !== null && array_key_exists($this->sock, $this->held));
        // All of them at the first message, because fdopen needs a second descriptor and the
        // table may be full later.
        foreach (array_keys($this->held, null, true) as $fd) {
            $this->held[$fd] = $this->fdopen($fd);
        }
        $object = $this->held[$this->sock];
        if (!$object instanceof Socket) {
            $object = @socket_import_stream($object) ?: throw failed();
        }
        return $this->held[$this->sock] = $object;
    }

    private function is_open(int $fd): bool
    {
        return $this->libc->fcntl($fd, 1) >= 0; // F_GETFD
    }

    /** Returns the lowest unused descriptors, as many as a message can carry. @return int[] */
    private function free(): array
    {
        for ($free = [], $fd = 0; count($free) < 253; $fd++) {
            if (!$this->is_open($fd)) {
                $free[] = $fd;
            }
        }
        return $free;
    }

    /**
     * Opens a stream on a descriptor. php://fd duplicates the descriptor to the lowest unused
     * one. The peer makes that the descriptor itself, so that there is no second one.
     *
     * @return resource
     */
    private function fdopen(int $fd)
    {
        $copy = $this->libc->dup($fd);
        if ($copy < 0) {
            return @fopen("php://fd/$fd", 'r+') ?: throw failed();
        }
        $fillers = [$copy];
        $this->libc->close($fd);
        while (($filler = $this->libc->dup($copy)) !== $fd) {
            $fillers[] = $filler;
        }
        $this->libc->close($fd);
        $stream = @fopen("php://fd/$copy", 'r+') ?: throw failed();
        foreach ($fillers as $filler) {
            $this->libc->close($filler);
        }
        return $stream;
    }
}

ini_set('memory_limit', '-1');
$peer = new Peer();
// PHP ignores SIGPIPE on the command line.
while (($line = fgets(STDIN)) !== false) {
    try {
        error_clear_last();
        socket_clear_error();
        $words = explode(' ', rtrim($line, "\n"));
        $verb = array_shift($words);
        $fields = [];
        foreach ($words as $word) {
            [$key, $value] = explode('=', $word, 2) + [1 => null];
            unsupported_unless($value !== null && !isset($fields[$key]) && preg_match('/\A[a-z]+\z/', $key) === 1);
            $fields[$key] = $value;
        }
        unsupported_unless(in_array($verb, ['hello', 'use', 'send', 'recv', 'close', 'end'], true));
        $known = array_map(fn ($p) => $p->name, (new ReflectionMethod($peer, $verb))->getParameters());
        unsupported_unless(array_diff(array_keys($fields), $known) === []);
        $answer = $peer->$verb(...$fields);
    } catch (Failed $e) {
        $answer = 'err ' . strtr($e->getMessage(), "\n", ' ');
    } catch (Unsupported | ArgumentCountError) {
        $answer = 'unsupported';
    }
    fwrite(STDOUT, "$answer\n");
}
