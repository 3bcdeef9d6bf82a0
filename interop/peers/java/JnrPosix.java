import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Stream;
import jnr.constants.platform.SocketControlMessage;
import jnr.constants.platform.SocketLevel;
import jnr.posix.CmsgHdr;
import jnr.posix.MsgHdr;
import jnr.posix.POSIX;
import jnr.posix.POSIXFactory;

/**
 * Peer for sendmsg and recvmsg of jnr-posix, which JRuby uses to pass descriptors.
 *
 * <p>jnr-constants has no name for MSG_CMSG_CLOEXEC, so the peer does not pass it, and no received
 * descriptor is close-on-exec.
 */
final class JnrPosix extends Peer {
    static final POSIX POSIX = POSIXFactory.getNativePOSIX();

    private final String version;

    JnrPosix() throws IOException {
        Properties pom = new Properties();
        try (InputStream file =
                POSIX.class.getResourceAsStream("/META-INF/maven/com.github.jnr/jnr-posix/pom.properties")) {
            pom.load(file);
        }
        version = pom.getProperty("version");
    }

    @Override
    String hello() {
        return "name=jnr-posix version=" + version + " can=stream,dgram,seqpacket,multi,iov,flags";
    }

    /** Returns the count that a call returned, if it did not fail. */
    static int counted(int n) {
        if (n < 0) {
            throw new Errno(POSIX.errno());
        }
        return n;
    }

    /** Sends several buffers, which the skeleton does not. They are direct, because jnr-posix passes NULL otherwise. */
    @Override
    String send(Map<String, String> fields, int at) {
        var words = fields.get("payload").split(",", -1);
        var buffers = new ByteBuffer[words.length];
        int total = 0;
        for (int i = 0; i < words.length; i++) {
            byte[] data = payloadOf(words[i], at + total);
            total += data.length;
            check(total <= MAX_PAYLOAD);
            buffers[i] = ByteBuffer.allocateDirect(data.length).put(data).flip();
        }
        var fds = integers(fields.get("fds"), Integer.MIN_VALUE);
        int flags = flagsOf(fields, SEND);
        MsgHdr message = POSIX.allocateMsgHdr();
        message.setIov(buffers);
        if (!fds.isEmpty()) {
            ByteBuffer data = ByteBuffer.allocate(4 * fds.size()).order(ByteOrder.nativeOrder());
            fds.forEach(data::putInt);
            CmsgHdr control = message.allocateControl(data.capacity());
            control.setLevel(SocketLevel.SOL_SOCKET.intValue());
            control.setType(SocketControlMessage.SCM_RIGHTS.intValue());
            control.setData(data.flip());
        }
        return "ok n=" + counted(POSIX.sendmsg(caseSock, message, flags));
    }

    /** Receives into several buffers. */
    @Override
    String recv(Map<String, String> fields, int at) {
        var sizes = Stream.of(fields.get("bytes").split(",", -1)).mapToInt(word -> integer(word, 0, MAX_PAYLOAD)).toArray();
        check(Arrays.stream(sizes).asLongStream().sum() <= MAX_PAYLOAD);
        int room = integer(fields.get("fds"), 0, 65535);
        int flags = flagsOf(fields, RECV);
        var buffers = new ByteBuffer[sizes.length];
        for (int i = 0; i < sizes.length; i++) {
            buffers[i] = ByteBuffer.allocateDirect(sizes[i]);
        }
        MsgHdr message = POSIX.allocateMsgHdr();
        message.setIov(buffers);
        if (room > 0) {
            message.allocateControl(4 * room);
        }
        int n = counted(POSIX.recvmsg(caseSock, message, flags));
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
        return received(n, new Received(filled(buffers, n), fds, message.getFlags()), at);
    }

    /** Returns the first n bytes of the buffers, or all if there are fewer. */
    static byte[] filled(ByteBuffer[] buffers, int n) {
        var data = new byte[Math.min(n, Stream.of(buffers).mapToInt(ByteBuffer::capacity).sum())];
        int offset = 0;
        for (ByteBuffer buffer : buffers) {
            int part = Math.min(buffer.capacity(), data.length - offset);
            buffer.get(0, data, offset, part);
            offset += part;
        }
        return data;
    }

    @Override
    void closeDescriptor(int fd) {
        POSIX.close(fd);
    }

    public static void main(String[] args) throws IOException {
        new JnrPosix().serve();
    }
}
