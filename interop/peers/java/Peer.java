// A peer for scm interop: it reads commands on standard input and answers on standard output.
// Call your library in librarySend and libraryRecv. Throw Unsupported if it has no interface for the
// command, and Errno for an errno. Any other exception becomes an error answer.
//
//     java --add-opens java.base/java.io=ALL-UNNAMED Peer.java
import java.io.*;
import java.util.*;
import java.util.stream.Collectors;

class Peer {
    static class Unsupported extends RuntimeException {}

    /** An errno that the library reports. */
    static class Errno extends RuntimeException {
        final int errno;

        Errno(int errno) {
            this.errno = errno;
        }
    }

    /** flags is msg_flags, or null if the library reports no flags. */
    record Received(byte[] payload, List<Integer> fds, Integer flags) {}

    /**
     * Use your library's name and version. Expected failures can depend on the version.
     * In can=, multi promises several descriptors in a message, iov several buffers, and flags
     * calls with flags of the caller's choice, rather than the flags that a receive reports.
     * If the library waits in an event loop, add polls=yes.
     */
    String hello() {
        return "name=mine version=0 can=stream,dgram,seqpacket,multi";
    }

    /** Sends the payload and the descriptors, and returns the count that the library reports. */
    int librarySend(int sock, byte[] payload, List<Integer> fds, int flags) throws Exception {
        throw new Unsupported();
    }

    /** Receives at most this many bytes and descriptors. */
    Received libraryRecv(int sock, int most, int room, int flags) throws Exception {
        throw new Unsupported();
    }

    static final int MAX_PAYLOAD = 64 << 20;

    int caseSock = -1;
    final Set<Integer> held = new TreeSet<>(); // the socket of the case, its files, and the descriptors received

    /** Java has no call of its own that closes a descriptor. */
    void closeDescriptor(int fd) {
        try {
            var descriptor = new FileDescriptor();
            var field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            field.setInt(descriptor, fd);
            new FileInputStream(descriptor).close();
        } catch (IOException e) {
            // the library may have reported a descriptor that is not open
        } catch (ReflectiveOperationException e) {
            throw new Unsupported();
        }
    }

    String close(Collection<Integer> fds) {
        check(held.containsAll(fds));
        for (int fd : Set.copyOf(fds)) {
            held.remove(fd);
            closeDescriptor(fd);
        }
        return "ok";
    }

    String end() {
        caseSock = -1;
        return close(held);
    }

    static void check(boolean supported) {
        if (!supported) {
            throw new Unsupported();
        }
    }

    static String formed(String form, String text) {
        check(text.matches(form));
        return text;
    }

    static int integer(String text, int least, int most) {
        long n = Long.parseLong(formed("0|-?[1-9][0-9]{0,9}", text));
        check(least <= n && n <= most);
        return (int) n;
    }

    static List<Integer> integers(String text, int least) {
        if (text.equals("-")) {
            return List.of();
        }
        return Arrays.stream(text.split(",", -1)).map(word -> integer(word, least, Integer.MAX_VALUE)).toList();
    }

    /** Returns the bytes of the payload @N. */
    static byte[] pattern(int length, int at) {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) ((at % 251 + i) % 251);
        }
        return bytes;
    }

    static byte[] payloadOf(String text, int at) {
        if (text.equals("-")) {
            return new byte[0];
        }
        if (text.startsWith("@")) {
            return pattern(integer(text.substring(1), 1, MAX_PAYLOAD), at);
        }
        check(text.length() % 2 == 0);
        return HexFormat.of().parseHex(formed("[0-9a-f]+", text));
    }

    static String shown(byte[] payload, int at) {
        if (payload.length <= 4096) {
            return payload.length == 0 ? "-" : HexFormat.of().formatHex(payload);
        }
        int other = Arrays.mismatch(payload, pattern(payload.length, at));
        return other < 0 ? "@" + payload.length : "!" + other;
    }

    static String listed(List<?> list) {
        return list.isEmpty() ? "-" : list.stream().map(String::valueOf).collect(Collectors.joining(","));
    }

    static final Map<String, Integer> SEND = Map.of("dontwait", 0x40, "nosignal", 0x4000, "eor", 0x80, "oob", 1, "more", 0x8000);
    static final Map<String, Integer> RECV = Map.of("dontwait", 0x40, "peek", 2, "trunc", 0x20, "waitall", 0x100, "oob", 1);
    static final Map<String, Integer> REPORTED = new TreeMap<>(Map.of("ctrunc", 8, "trunc", 0x20, "eor", 0x80, "oob", 1));

    /** Returns the bits of the flags of a command, which has a socket. */
    int flagsOf(Map<String, String> fields, Map<String, Integer> known) {
        var text = fields.getOrDefault("flags", "-");
        var names = text.equals("-") ? List.<String>of() : List.of(text.split(",", -1));
        check(held.contains(caseSock) && known.keySet().containsAll(names));
        return names.stream().mapToInt(known::get).sum();
    }

    static String shownFlags(int flags) {
        flags &= ~0x40000000; // MSG_CMSG_CLOEXEC is not reported
        var names = new ArrayList<String>();
        for (var known : REPORTED.entrySet()) {
            if ((flags & known.getValue()) != 0) {
                names.add(known.getKey());
                flags &= ~known.getValue();
            }
        }
        if (flags != 0) {
            names.add("0x" + Integer.toHexString(flags));
        }
        return listed(names);
    }

    String send(Map<String, String> fields, int at) throws Exception {
        var payload = payloadOf(fields.get("payload"), at);
        var fds = integers(fields.get("fds"), Integer.MIN_VALUE);
        return "ok n=" + librarySend(caseSock, payload, fds, flagsOf(fields, SEND));
    }

    String recv(Map<String, String> fields, int at) throws Exception {
        int most = integer(fields.get("bytes"), 0, MAX_PAYLOAD);
        int room = integer(fields.get("fds"), 0, 65535);
        var r = libraryRecv(caseSock, most, room, flagsOf(fields, RECV));
        return received(r.payload.length, r, at);
    }

    String received(int n, Received r, int at) {
        held.addAll(r.fds);
        var said = "ok n=" + n + " payload=" + shown(r.payload, at) + " fds=" + listed(r.fds);
        return r.flags == null ? said : said + " flags=" + shownFlags(r.flags);
    }

    String use(int sock, List<Integer> fds) {
        end();
        caseSock = sock;
        held.add(sock);
        held.addAll(fds);
        return "ok";
    }

    String answer(String line) throws Exception {
        var words = line.split(" ", -1);
        Map<String, String> fields = new TreeMap<>();
        for (int i = 1; i < words.length; i++) {
            int end = words[i].indexOf('=');
            check(end > 0 && fields.put(words[i].substring(0, end), words[i].substring(end + 1)) == null);
        }
        int at = integer(fields.getOrDefault("at", "0"), 0, Integer.MAX_VALUE);
        return switch (words[0] + " " + String.join(" ", fields.keySet())) {
            case "hello " -> "ok lang=java " + hello();
            case "send fds payload", "send at fds payload", "send fds flags payload", "send at fds flags payload" -> send(fields, at);
            case "recv bytes fds", "recv at bytes fds", "recv bytes fds flags", "recv at bytes fds flags" -> recv(fields, at);
            case "close fds" -> close(integers(fields.get("fds"), 0));
            case "use sock" -> use(integer(fields.get("sock"), 0, Integer.MAX_VALUE), List.of());
            case "use fds sock" -> use(integer(fields.get("sock"), 0, Integer.MAX_VALUE), integers(fields.get("fds"), 0));
            case "end " -> end();
            default -> throw new Unsupported();
        };
    }

    void serve() throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String said;
            try {
                said = answer(line);
            } catch (Unsupported e) {
                said = "unsupported";
            } catch (Errno e) {
                said = e.errno == 0 ? "err lib" : "err " + e.errno;
            } catch (Exception e) {
                said = "err lib " + e.toString().replaceAll("[^ -~]", "?");
            }
            System.out.println(said);
            System.out.flush();
        }
        System.exit(0); // even if threads of the library still run
    }

    public static void main(String[] args) throws IOException {
        new Peer().serve();
    }
}
