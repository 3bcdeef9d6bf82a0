import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.channels.NotYetConnectedException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.newsclub.net.unix.AFSocket;
import org.newsclub.net.unix.AFSocketCapability;
import org.newsclub.net.unix.AFUNIXDatagramChannel;
import org.newsclub.net.unix.AFUNIXSocketChannel;
import org.newsclub.net.unix.AFUNIXSocketExtensions;
import org.newsclub.net.unix.FileDescriptorCast;

/** Peer for the channels of junixsocket, with setOutboundFileDescriptors and getReceivedFileDescriptors. */
final class Junixsocket extends Peer {
    static final int CMSG_HEADER = 16; // CMSG_LEN(0), for which the library has no constant
    static final Field NUMBER = number();

    /** The errors, which the library reports as the texts of strerror. */
    static final Map<String, String> ERRNO = Map.ofEntries(
            Map.entry("Bad file descriptor", "EBADF"),
            Map.entry("Broken pipe", "EPIPE"),
            Map.entry("Connection refused", "ECONNREFUSED"),
            Map.entry("Connection reset by peer", "ECONNRESET"),
            Map.entry("Invalid argument", "EINVAL"),
            Map.entry("Message too long", "EMSGSIZE"),
            Map.entry("No buffer space available", "ENOBUFS"),
            Map.entry("Operation not permitted", "EPERM"),
            Map.entry("Resource temporarily unavailable", "EAGAIN"),
            Map.entry("Socket operation on non-socket", "ENOTSOCK"),
            Map.entry("Too many references: cannot splice", "ETOOMANYREFS"),
            Map.entry("Transport endpoint is not connected", "ENOTCONN"));

    private static Field number() {
        try {
            Field field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            return field;
        } catch (NoSuchFieldException e) {
            throw new LinkageError("FileDescriptor", e);
        }
    }

    private ByteChannel channel; // of the case's socket, opened at the first message
    private final Map<Integer, FileDescriptor> open = new HashMap<>(); // that the library knows, by number

    Junixsocket() {
        // This also loads the native library, while the descriptor table has space for it.
        if (!AFSocket.supports(AFSocketCapability.CAPABILITY_FILE_DESCRIPTORS)) {
            throw new UnsupportedOperationException("no descriptor passing");
        }
    }

    @Override
    String hello() {
        return "name=junixsocket version=" + AFSocket.getVersion() + " can=stream,dgram,multi";
    }

    /** Returns a FileDescriptor for any number, even if it is not open. FileDescriptorCast rejects such numbers. */
    private FileDescriptor descriptor(int fd) {
        return open.computeIfAbsent(fd, number -> {
            FileDescriptor descriptor = new FileDescriptor();
            try {
                NUMBER.setInt(descriptor, number);
            } catch (IllegalAccessException e) {
                throw new LinkageError("FileDescriptor", e);
            }
            return descriptor;
        });
    }

    private int number(FileDescriptor descriptor) {
        try {
            return NUMBER.getInt(descriptor);
        } catch (IllegalAccessException e) {
            throw new LinkageError("FileDescriptor", e);
        }
    }

    private AFUNIXSocketExtensions open(int sock) throws IOException {
        if (channel == null) {
            FileDescriptorCast cast = FileDescriptorCast.using(descriptor(sock));
            channel = cast.isAvailable(AFUNIXDatagramChannel.class)
                    ? cast.as(AFUNIXDatagramChannel.class)
                    : cast.as(AFUNIXSocketChannel.class);
        }
        return (AFUNIXSocketExtensions) channel;
    }

    private static Failure failure(Exception e) {
        Throwable cause = e.getCause() == null ? e : e.getCause(); // such as that of an AsynchronousCloseException
        return new Failure(ERRNO.getOrDefault(String.valueOf(cause.getMessage()), "lib " + cause));
    }

    @Override
    int send(int sock, ByteBuffer[] payload, List<Integer> fds, List<String> flags) throws Failure {
        // write does nothing if there are no bytes, and its variant for several buffers sends only the first.
        check(payload.length == 1 && payload[0].hasRemaining() && flags.isEmpty());
        try {
            AFUNIXSocketExtensions socket = open(sock);
            socket.setOutboundFileDescriptors(fds.stream().map(this::descriptor).toArray(FileDescriptor[]::new));
            return channel.write(payload[0]);
        } catch (IOException | NotYetConnectedException e) {
            throw failure(e);
        }
    }

    @Override
    Received recv(int sock, ByteBuffer[] buffers, int room, List<String> flags) throws Failure {
        check(buffers.length == 1 && buffers[0].hasRemaining() && flags.isEmpty());
        try {
            AFUNIXSocketExtensions socket = open(sock);
            socket.setAncillaryReceiveBufferSize(room == 0 ? 0 : CMSG_HEADER + 4 * room);
            int n = channel.read(buffers[0]);
            List<Integer> fds = new ArrayList<>();
            for (FileDescriptor descriptor : socket.getReceivedFileDescriptors()) {
                open.put(number(descriptor), descriptor);
                fds.add(number(descriptor));
            }
            return new Received(Math.max(n, 0), fds, null, n < 0);
        } catch (IOException | NotYetConnectedException e) {
            throw failure(e);
        }
    }

    /** If the library has closed the FileDescriptor, this does nothing. */
    @Override
    void close(int fd) throws IOException {
        new FileInputStream(descriptor(fd)).close();
        open.remove(fd);
    }

    @Override
    void closeSocket(int sock) throws IOException {
        if (channel == null) {
            close(sock);
        } else {
            channel.close();
            open.remove(sock);
        }
    }

    @Override
    void forget() {
        channel = null;
        open.clear();
    }

    public static void main(String[] args) throws IOException {
        new Junixsocket().serve();
    }
}
