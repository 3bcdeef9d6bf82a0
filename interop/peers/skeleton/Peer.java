// A peer for scm interop: it reads commands on standard input and answers on standard output.
// Call your library in librarySend and libraryRecv. Throw Unsupported if it has no interface for the
// command, and Errno for an errno. Any other exception becomes an error answer.
//
//     java --add-opens java.base/java.io=ALL-UNNAMED Peer.java
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
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

    /** Sends the payload and the descriptors, and returns the count that the library reports. */
    static int librarySend(int sock, byte[] payload, List<Integer> fds) throws Exception {
        throw new Unsupported();
    }

    /** Receives at most this many bytes and descriptors. */
    static Received libraryRecv(int sock, int most, int room) throws Exception {
        throw new Unsupported();
    }

    static final int MAX_PAYLOAD = 64 << 20;

    /** The socket of the case. */
    static int caseSock = -1;

    /** The socket, its files, and the descriptors received. */
    static final Set<Integer> held = new TreeSet<>();

    /** Java has no call of its own that closes a descriptor. */
    static void closeDescriptor(int fd) {
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

    static void close(Collection<Integer> fds) {
        if (!held.containsAll(fds)) {
            throw new Unsupported();
        }
        for (int fd : Set.copyOf(fds)) {
            held.remove(fd);
            closeDescriptor(fd);
        }
    }

    static String formed(String form, String text) {
        if (!text.matches(form)) {
            throw new Unsupported();
        }
        return text;
    }

    static int integer(String text, int least, int most) {
        long n = Long.parseLong(formed("0|-?[1-9][0-9]{0,9}", text));
        if (n < least || n > most) {
            throw new Unsupported();
        }
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
        if (text.length() % 2 == 1) {
            throw new Unsupported();
        }
        return HexFormat.of().parseHex(formed("[0-9a-f]+", text));
    }

    static String shown(byte[] payload, int at) {
        if (payload.length <= 4096) {
            return payload.length == 0 ? "-" : HexFormat.of().formatHex(payload);
        }
        int other = Arrays.mismatch(payload, pattern(payload.length, at));
        return other < 0 ? "@" + payload.length : "!" + other;
    }

    static String shown(List<?> list) {
        return list.isEmpty() ? "-" : list.stream().map(String::valueOf).collect(Collectors.joining(","));
    }

    static String shownFlags(int flags) {
        flags &= ~0x40000000; // MSG_CMSG_CLOEXEC is not reported
        var names = new ArrayList<String>();
        for (var known : List.of(Map.entry("oob", 0x1), Map.entry("ctrunc", 0x8), Map.entry("trunc", 0x20), Map.entry("eor", 0x80))) {
            if ((flags & known.getValue()) != 0) {
                names.add(known.getKey());
                flags &= ~known.getValue();
            }
        }
        if (flags != 0) {
            names.add("0x" + Integer.toHexString(flags));
        }
        return shown(names);
    }

    static String send(Map<String, String> fields, int at) throws Exception {
        var payload = payloadOf(fields.get("payload"), at);
        var fds = integers(fields.get("fds"), Integer.MIN_VALUE);
        if (!held.contains(caseSock)) {
            throw new Unsupported();
        }
        return "ok n=" + librarySend(caseSock, payload, fds);
    }

    static String recv(Map<String, String> fields, int at) throws Exception {
        int most = integer(fields.get("bytes"), 0, MAX_PAYLOAD);
        int room = integer(fields.get("fds"), 0, 65535);
        if (!held.contains(caseSock)) {
            throw new Unsupported();
        }
        var r = libraryRecv(caseSock, most, room);
        held.addAll(r.fds);
        var said = "ok n=" + r.payload.length + " payload=" + shown(r.payload, at) + " fds=" + shown(r.fds);
        return r.flags == null ? said : said + " flags=" + shownFlags(r.flags);
    }

    static String answer(String line) throws Exception {
        var words = line.split(" ", -1);
        Map<String, String> fields = new TreeMap<>();
        for (int i = 1; i < words.length; i++) {
            var field = words[i].split("=", 2);
            if (fields.put(field[0], field.length == 2 ? field[1] : "") != null) {
                throw new Unsupported(); // a field occurs twice
            }
        }
        int at = integer(fields.getOrDefault("at", "0"), 0, Integer.MAX_VALUE);
        var command = new ArrayList<>(List.of(words[0]));
        command.addAll(fields.keySet());
        switch (String.join(" ", command)) {
            case "hello":
                // Use your library's name and version. Expected failures can depend on the version.
                return "ok name=mine lang=java version=0 can=stream,dgram,seqpacket,multi";
            case "send fds payload", "send at fds payload":
                return send(fields, at);
            case "recv bytes fds", "recv at bytes fds":
                return recv(fields, at);
            case "close fds":
                close(integers(fields.get("fds"), 0));
                return "ok";
            case "use sock", "use fds sock":
                int sock = integer(fields.get("sock"), 0, Integer.MAX_VALUE);
                var fds = integers(fields.getOrDefault("fds", "-"), 0);
                close(held);
                caseSock = sock;
                held.add(sock);
                held.addAll(fds);
                return "ok";
            case "end":
                close(held);
                return "ok";
            default:
                throw new Unsupported();
        }
    }

    public static void main(String[] args) throws IOException {
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
}
