// A peer for scm interop: it reads commands on standard input and answers on standard output. Call your
// library in librarySend and libraryRecv.
//
//     java --add-opens java.base/java.io=ALL-UNNAMED Peer.java
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

class Peer {
    static class Unsupported extends RuntimeException {}

    /** What the library reports as an errno. */
    static class Errno extends RuntimeException {
        final int errno;

        Errno(int errno) {
            this.errno = errno;
        }
    }

    record Received(byte[] payload, List<Integer> fds) {}

    /** Sends the payload and the descriptors, and returns the count that the library reports. */
    static int librarySend(int sock, byte[] payload, List<Integer> fds) {
        throw new Unsupported();
    }

    /** Receives at most so many bytes and descriptors. */
    static Received libraryRecv(int sock, int most, int room) {
        throw new Unsupported();
    }

    /** Java has no call of its own that closes a number. */
    static void closeNumber(int fd) {
        try {
            var descriptor = new FileDescriptor();
            var field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            field.setInt(descriptor, fd);
            new FileInputStream(descriptor).close();
        } catch (IOException e) {
            // the library may have reported what is not open
        } catch (ReflectiveOperationException e) {
            throw new Unsupported();
        }
    }

    /** The socket of the case, its files, and what was received. */
    static final List<Integer> held = new ArrayList<>();

    static int sock() {
        if (held.isEmpty()) {
            throw new Unsupported();
        }
        return held.get(0);
    }

    static void close(List<Integer> fds) {
        if (!held.containsAll(fds)) {
            throw new Unsupported();
        }
        for (Integer fd : List.copyOf(fds)) {
            closeNumber(fd);
            held.remove(fd);
        }
    }

    static String formed(String form, String text) {
        if (!text.matches(form)) {
            throw new Unsupported();
        }
        return text;
    }

    static int number(String text) {
        return Integer.parseInt(formed("0|[1-9]\\d{0,8}", text));
    }

    static List<Integer> numbers(String text) {
        if (formed("-|-?\\d+(,-?\\d+)*", text).equals("-")) {
            return List.of();
        }
        return List.of(text.split(",")).stream().map(Integer::parseInt).toList();
    }

    /** The bytes that @N stands for. */
    static byte[] pattern(int length, int at) {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) ((at + i) % 251);
        }
        return bytes;
    }

    static String shown(byte[] payload, int at) {
        if (payload.length <= 4096) {
            return payload.length == 0 ? "-" : HexFormat.of().formatHex(payload);
        }
        int other = Arrays.mismatch(payload, pattern(payload.length, at));
        return other < 0 ? "@" + payload.length : "!" + other;
    }

    static byte[] bytes(String payload, int at) {
        if (payload.startsWith("@")) {
            return pattern(number(payload.substring(1)), at);
        }
        return HexFormat.of().parseHex(formed("-|([0-9a-f]{2})+", payload).replace("-", ""));
    }

    static String recv(int most, int room, int at) {
        var r = libraryRecv(sock(), most, room);
        held.addAll(r.fds);
        var fds = r.fds.isEmpty() ? "-" : r.fds.stream().map(String::valueOf).collect(Collectors.joining(","));
        return "ok n=" + r.payload.length + " payload=" + shown(r.payload, at) + " fds=" + fds;
    }

    static String answer(String line) {
        var words = line.split(" ", -1);
        Map<String, String> fields = new TreeMap<>();
        for (int i = 1; i < words.length; i++) {
            var field = words[i].split("=", 2);
            fields.put(field[0], field.length == 2 ? field[1] : "");
        }
        int at = number(fields.getOrDefault("at", "0"));
        fields.remove("at");
        switch (words[0] + " " + String.join(" ", fields.keySet())) {
            case "hello ":
                return "ok name=mine lang=java version=0 can=stream,dgram,seqpacket,multi";
            case "send fds payload":
                return "ok n=" + librarySend(sock(), bytes(fields.get("payload"), at), numbers(fields.get("fds")));
            case "recv bytes fds":
                return recv(number(fields.get("bytes")), number(fields.get("fds")), at);
            case "close fds":
                close(numbers(fields.get("fds")));
                return "ok";
            case "use fds sock":
                close(held);
                held.add(number(fields.get("sock")));
                held.addAll(numbers(fields.get("fds")));
                return "ok";
            case "end ":
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
                said = "err " + e.errno;
            }
            System.out.println(said);
            System.out.flush();
        }
    }
}
