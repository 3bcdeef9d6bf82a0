import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import jnr.constants.platform.Errno;
import jnr.constants.platform.SocketControlMessage;
import jnr.constants.platform.SocketLevel;
import jnr.constants.platform.SocketMessage;
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
    static final List<String> REPORTED = List.of("ctrunc", "trunc", "eor", "oob");

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

    static int bit(String flag) {
        return SocketMessage.valueOf("MSG_" + flag.toUpperCase()).intValue();
    }

    static int bits(List<String> flags) {
        return flags.stream().mapToInt(JnrPosix::bit).reduce(0, (a, b) -> a | b);
    }

    static String format(int flags) {
        List<String> words = new ArrayList<>();
        for (String name : REPORTED) {
            if ((flags & bit(name)) != 0) {
                words.add(name);
                flags &= ~bit(name);
            }
        }
        if (flags != 0) {
            words.add("0x" + Integer.toHexString(flags));
        }
        return words.isEmpty() ? "-" : String.join(",", words);
    }

    /** Returns the count that a call returned, if it did not fail. */
    static int counted(int n) throws Failure {
        if (n < 0) {
            int errno = POSIX.errno();
            Errno name = Errno.valueOf(errno);
            throw new Failure(name == Errno.__UNKNOWN_CONSTANT__ ? String.valueOf(errno) : name.name());
        }
        return n;
    }

    @Override
    int send(int sock, ByteBuffer[] payload, List<Integer> fds, List<String> flags) throws Failure {
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
        return counted(POSIX.sendmsg(sock, message, bits(flags)));
    }

    @Override
    Received recv(int sock, ByteBuffer[] buffers, int room, List<String> flags) throws Failure {
        MsgHdr message = POSIX.allocateMsgHdr();
        message.setIov(buffers);
        if (room > 0) {
            message.allocateControl(4 * room);
        }
        int n = counted(POSIX.recvmsg(sock, message, bits(flags)));
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
        return new Received(n, fds, format(message.getFlags()), false);
    }

    @Override
    void close(int fd) {
        POSIX.close(fd);
    }

    public static void main(String[] args) throws IOException {
        new JnrPosix().serve();
    }
}
