import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import jnr.constants.platform.Errno;
import jnr.constants.platform.SocketControlMessage;
import jnr.constants.platform.SocketLevel;
import jnr.constants.platform.SocketMessage;
import jnr.posix.CmsgHdr;
import jnr.posix.MsgHdr;
import jnr.posix.POSIX;
import jnr.posix.POSIXFactory;

/**
 * Peer for sendmsg and recvmsg of jnr-posix, which JRuby uses to pass descriptors. The contract is
 * interop/peers/README.md.
 *
 * <p>It keeps the library's fault: there is no MSG_CMSG_CLOEXEC, so no received descriptor is
 * close-on-exec.
 */
final class JnrPosix {
    static final String CAN = "stream,dgram,seqpacket,multi,iov,flags";
    static final int PAYLOAD_MAX = 64 << 20;
    static final POSIX POSIX = POSIXFactory.getNativePOSIX();
    static final Map<String, Integer> SEND = bits("dontwait nosignal eor oob more");
    static final Map<String, Integer> RECV = bits("dontwait peek trunc waitall oob");
    static final Map<String, Integer> REPORTED = bits("ctrunc trunc eor oob");

    static final String VERSION = version();

    private int sock = -1;
    private final Set<Integer> held = new TreeSet<>(); // given or received, and still open

    static Map<String, Integer> bits(String names) {
        Map<String, Integer> bits = new LinkedHashMap<>();
        for (String name : names.split(" ")) {
            bits.put(name, SocketMessage.valueOf("MSG_" + name.toUpperCase()).intValue());
        }
        return bits;
    }

    static String version() {
        Properties pom = new Properties();
        try (InputStream file =
                POSIX.class.getResourceAsStream("/META-INF/maven/com.github.jnr/jnr-posix/pom.properties")) {
            pom.load(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return pom.getProperty("version");
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

    static int flags(Map<String, Integer> known, String text) {
        check(known.keySet().containsAll(items(text)));
        return items(text).stream().mapToInt(known::get).reduce(0, (a, b) -> a | b);
    }

    static byte pattern(long at, int i) {
        return (byte) ((at % 251 + i) % 251);
    }

    /** Returns direct buffers, because the library passes NULL as the address of any other. */
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

    static String format(int flags) {
        List<String> words = new ArrayList<>();
        for (Map.Entry<String, Integer> bit : REPORTED.entrySet()) {
            if ((flags & bit.getValue()) != 0) {
                words.add(bit.getKey());
                flags &= ~bit.getValue();
            }
        }
        if (flags != 0) {
            words.add("0x" + Integer.toHexString(flags));
        }
        return words.isEmpty() ? "-" : String.join(",", words);
    }

    static String error() {
        int errno = POSIX.errno();
        Errno name = Errno.valueOf(errno);
        return "err " + (name == Errno.__UNKNOWN_CONSTANT__ ? errno : name.name());
    }

    String send(ByteBuffer[] payload, List<Integer> fds, int flags) {
        MsgHdr message = POSIX.allocateMsgHdr();
        message.setIov(payload);
        if (!fds.isEmpty()) {
            ByteBuffer data = ByteBuffer.allocate(4 * fds.size()).order(ByteOrder.nativeOrder());
            fds.forEach(data::putInt);
            CmsgHdr control = message.allocateControl(data.capacity());
            control.setLevel(SocketLevel.SOL_SOCKET.intValue());
            control.setType(SocketControlMessage.SCM_RIGHTS.intValue());
            control.setData(data.flip());
        }
        int n = POSIX.sendmsg(sock, message, flags);
        return n < 0 ? error() : "ok n=" + n;
    }

    String recv(ByteBuffer[] buffers, int room, long at, int flags) {
        MsgHdr message = POSIX.allocateMsgHdr();
        message.setIov(buffers);
        if (room > 0) {
            message.allocateControl(4 * room);
        }
        int n = POSIX.recvmsg(sock, message, flags);
        if (n < 0) {
            return error();
        }
        List<Integer> fds = new ArrayList<>();
        for (CmsgHdr control : message.getControls()) {
            if (control.getLevel() == SocketLevel.SOL_SOCKET.intValue()
                    && control.getType() == SocketControlMessage.SCM_RIGHTS.intValue()) {
                ByteBuffer data = control.getData().order(ByteOrder.nativeOrder());
                while (data.remaining() >= 4) {
                    fds.add(data.getInt());
                }
            }
        }
        held.addAll(fds);
        String list = fds.stream().map(String::valueOf).collect(Collectors.joining(","));
        return String.format(
                "ok n=%d payload=%s fds=%s flags=%s",
                n, format(buffers, n, at), list.isEmpty() ? "-" : list, format(message.getFlags()));
    }

    String call(Supplier<String> library) {
        check(held.contains(sock));
        try {
            return library.get();
        } catch (RuntimeException e) {
            return "err lib " + e.toString().replace('\n', ' ');
        }
    }

    String close(List<Integer> fds) {
        check(held.containsAll(fds));
        for (int fd : Set.copyOf(fds)) {
            POSIX.close(fd);
            held.remove(fd);
        }
        return "ok";
    }

    String end() {
        sock = -1;
        return close(List.copyOf(held));
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

    String answer(String line) {
        String[] words = line.split(" ", -1);
        Fields fields = new Fields(words);
        switch (words[0]) {
            case "hello" -> {
                fields.done();
                return "ok name=jnr-posix lang=java version=" + VERSION + " can=" + CAN;
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
                int flags = flags(SEND, fields.take("flags", "-"));
                fields.done();
                return call(() -> send(payload, fds, flags));
            }
            case "recv" -> {
                long at = integer(fields.take("at", "0"), 0, Long.MAX_VALUE);
                ByteBuffer[] buffers = room(fields.take("bytes"));
                int room = (int) integer(fields.take("fds"), 0, 65535);
                int flags = flags(RECV, fields.take("flags", "-"));
                fields.done();
                return call(() -> recv(buffers, room, at, flags));
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

    public static void main(String[] args) throws IOException {
        JnrPosix peer = new JnrPosix();
        Reader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.US_ASCII);
        String line;
        while ((line = line(in)) != null) {
            String answer;
            try {
                answer = peer.answer(line);
            } catch (Unsupported e) {
                answer = "unsupported";
            }
            out.print(answer + "\n");
            out.flush();
        }
    }
}
