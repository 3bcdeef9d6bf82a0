import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The common part of the peers in Java, which implements interop/peers/README.md. A subclass is one
 * interface of one library.
 */
abstract class Peer {
    static final int PAYLOAD_MAX = 64 << 20;
    static final Set<String> SEND = Set.of("dontwait", "nosignal", "eor", "oob", "more");
    static final Set<String> RECV = Set.of("dontwait", "peek", "trunc", "waitall", "oob");

    private int sock = -1;
    private final Set<Integer> held = new TreeSet<>(); // given or received, and still open

    /** Returns the fields of the answer to hello. */
    abstract String hello();

    /** Sends a message, and returns the count that the library reports. */
    abstract int send(int sock, ByteBuffer[] payload, List<Integer> fds, List<String> flags) throws Failure, IOException;

    /** Receives a message into the buffers. */
    abstract Received recv(int sock, ByteBuffer[] buffers, int room, List<String> flags) throws Failure, IOException;

    /** Closes a descriptor. */
    abstract void close(int fd) throws IOException;

    /** Closes the case's socket with the library's own call, if it has one. */
    void closeSocket(int sock) throws IOException {
        close(sock);
    }

    /** The case has ended. */
    void forget() {}

    /** What a receive returned. flags is null if the library does not report them. */
    record Received(int n, List<Integer> fds, String flags, boolean eof) {}

    /** A call of the library failed. The message is the name of the errno, or follows "lib". */
    static final class Failure extends Exception {
        private static final long serialVersionUID = 1;

        Failure(String message) {
            super(message);
        }
    }

    /** The peer or the library does not support the command, and nothing was done. */
    static final class Unsupported extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    static void check(boolean good) {
        if (!good) {
            throw new Unsupported();
        }
    }

    static List<String> items(String text) {
        return text.equals("-") ? List.of() : List.of(text.split(",", -1));
    }

    /** Accepts an integer only as it would be printed. parseLong also accepts +3 and 03. */
    static long integer(String text, long least, long most) {
        try {
            long n = Long.parseLong(text);
            check(Long.toString(n).equals(text) && least <= n && n <= most);
            return n;
        } catch (NumberFormatException e) {
            throw new Unsupported();
        }
    }

    static List<Integer> integers(String text, int least) {
        return items(text).stream().map(word -> (int) integer(word, least, Integer.MAX_VALUE)).toList();
    }

    static List<String> flags(Set<String> known, String text) {
        List<String> flags = items(text);
        check(known.containsAll(flags));
        return flags;
    }

    static byte pattern(long at, int i) {
        return (byte) ((at % 251 + i) % 251);
    }

    /** Returns direct buffers, because jnr-posix passes NULL as the address of any other. */
    static ByteBuffer[] payload(String text, long at) {
        String[] words = text.split(",", -1);
        ByteBuffer[] buffers = new ByteBuffer[words.length];
        int total = 0;
        for (int i = 0; i < words.length; i++) {
            byte[] data = {};
            if (words[i].startsWith("@")) {
                data = new byte[(int) integer(words[i].substring(1), 1, PAYLOAD_MAX - total)];
                for (int k = 0; k < data.length; k++) {
                    data[k] = pattern(at, total + k);
                }
            } else if (!words[i].equals("-")) {
                try {
                    data = HexFormat.of().parseHex(words[i]);
                } catch (IllegalArgumentException e) {
                    throw new Unsupported();
                }
                check(data.length > 0 && HexFormat.of().formatHex(data).equals(words[i]));
            }
            total += data.length;
            check(total <= PAYLOAD_MAX);
            buffers[i] = ByteBuffer.allocateDirect(data.length).put(data).flip();
        }
        return buffers;
    }

    static ByteBuffer[] room(String text) {
        String[] words = text.split(",", -1);
        ByteBuffer[] buffers = new ByteBuffer[words.length];
        long left = PAYLOAD_MAX;
        for (int i = 0; i < words.length; i++) {
            long size = integer(words[i], 0, left);
            left -= size;
            buffers[i] = ByteBuffer.allocateDirect((int) size);
        }
        return buffers;
    }

    static String format(ByteBuffer[] buffers, int n, long at) {
        byte[] data = new byte[Math.min(n, Stream.of(buffers).mapToInt(ByteBuffer::capacity).sum())];
        int offset = 0;
        for (ByteBuffer buffer : buffers) {
            int part = Math.min(buffer.capacity(), data.length - offset);
            buffer.get(0, data, offset, part);
            offset += part;
        }
        if (data.length <= 4096) {
            return data.length == 0 ? "-" : HexFormat.of().formatHex(data);
        }
        for (int i = 0; i < data.length; i++) {
            if (data[i] != pattern(at, i)) {
                return "!" + i;
            }
        }
        return "@" + data.length;
    }

    interface Library {
        String call() throws Failure, IOException;
    }

    String call(Library library) {
        check(held.contains(sock));
        try {
            return library.call();
        } catch (Failure e) {
            return "err " + e.getMessage();
        } catch (Unsupported e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            return "err lib " + e.toString().replace('\n', ' ');
        }
    }

    String received(Received got, ByteBuffer[] buffers, long at) {
        held.addAll(got.fds());
        String list = got.fds().stream().map(String::valueOf).collect(Collectors.joining(","));
        return String.format(
                "ok n=%d payload=%s fds=%s%s%s",
                got.n(),
                format(buffers, got.n(), at),
                list.isEmpty() ? "-" : list,
                got.flags() == null ? "" : " flags=" + got.flags(),
                got.eof() ? " eof" : "");
    }

    String close(List<Integer> fds) throws IOException {
        check(held.containsAll(fds));
        for (int fd : Set.copyOf(fds)) {
            held.remove(fd);
            if (fd == sock) {
                closeSocket(fd);
            } else {
                close(fd);
            }
        }
        return "ok";
    }

    String end() throws IOException {
        sock = -1;
        close(List.copyOf(held));
        forget();
        return "ok";
    }

    /** The fields of a command. Each can be taken once, and none may be left. */
    static final class Fields {
        private final Map<String, String> map = new HashMap<>();

        Fields(String[] words) {
            for (int i = 1; i < words.length; i++) {
                int eq = words[i].indexOf('=');
                check(eq > 0 && map.put(words[i].substring(0, eq), words[i].substring(eq + 1)) == null);
            }
        }

        String take(String key) {
            check(map.containsKey(key));
            return map.remove(key);
        }

        String take(String key, String otherwise) {
            return map.containsKey(key) ? map.remove(key) : otherwise;
        }

        void done() {
            check(map.isEmpty());
        }
    }

    String answer(String line) throws IOException {
        String[] words = line.split(" ", -1);
        Fields fields = new Fields(words);
        switch (words[0]) {
            case "hello" -> {
                fields.done();
                return "ok lang=java " + hello();
            }
            case "use" -> {
                int given = (int) integer(fields.take("sock"), 0, Integer.MAX_VALUE);
                List<Integer> fds = integers(fields.take("fds", "-"), 0);
                fields.done();
                end();
                sock = given;
                held.add(sock);
                held.addAll(fds);
                return "ok";
            }
            case "send" -> {
                long at = integer(fields.take("at", "0"), 0, Long.MAX_VALUE);
                ByteBuffer[] payload = payload(fields.take("payload"), at);
                List<Integer> fds = integers(fields.take("fds"), Integer.MIN_VALUE);
                List<String> flags = flags(SEND, fields.take("flags", "-"));
                fields.done();
                return call(() -> "ok n=" + send(sock, payload, fds, flags));
            }
            case "recv" -> {
                long at = integer(fields.take("at", "0"), 0, Long.MAX_VALUE);
                ByteBuffer[] buffers = room(fields.take("bytes"));
                int room = (int) integer(fields.take("fds"), 0, 65535);
                List<String> flags = flags(RECV, fields.take("flags", "-"));
                fields.done();
                return call(() -> received(recv(sock, buffers, room, flags), buffers, at));
            }
            case "close" -> {
                List<Integer> fds = integers(fields.take("fds"), 0);
                fields.done();
                return close(fds);
            }
            case "end" -> {
                fields.done();
                return end();
            }
            default -> throw new Unsupported();
        }
    }

    static String line(Reader in) throws IOException {
        StringBuilder line = new StringBuilder();
        int c;
        while ((c = in.read()) != '\n') {
            if (c < 0) {
                return null;
            }
            line.append((char) c);
        }
        return line.toString();
    }

    void serve() throws IOException {
        Reader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.US_ASCII);
        String line;
        while ((line = line(in)) != null) {
            String answer;
            try {
                answer = answer(line);
            } catch (Unsupported e) {
                answer = "unsupported";
            }
            out.print(answer + "\n");
            out.flush();
        }
    }
}
