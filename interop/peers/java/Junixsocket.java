import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
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
    static final Map<String, Integer> ERRNO = Map.ofEntries(
            Map.entry("Bad file descriptor", 9), // EBADF
            Map.entry("Broken pipe", 32), // EPIPE
            Map.entry("Connection refused", 111), // ECONNREFUSED
            Map.entry("Connection reset by peer", 104), // ECONNRESET
            Map.entry("Invalid argument", 22), // EINVAL
            Map.entry("Message too long", 90), // EMSGSIZE
            Map.entry("No buffer space available", 105), // ENOBUFS
            Map.entry("Operation not permitted", 1), // EPERM
            Map.entry("Resource temporarily unavailable", 11), // EAGAIN
            Map.entry("Socket operation on non-socket", 88), // ENOTSOCK
            Map.entry("Too many references: cannot splice", 109), // ETOOMANYREFS
            Map.entry("Transport endpoint is not connected", 107)); // ENOTCONN

    private static Field number() {
        try {
            Field field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            return field;
        } catch (NoSuchFieldException e) {
            throw new LinkageError("FileDescriptor", e);
        }
    }

    private boolean ended; // as the last receive reported
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

    private static Exception failure(Exception e) {
        Throwable cause = e.getCause() == null ? e : e.getCause(); // such as that of an AsynchronousCloseException
        Integer errno = ERRNO.get(String.valueOf(cause.getMessage()));
        return errno == null ? new IOException(cause) : new Errno(errno);
    }

    @Override
    int librarySend(int sock, byte[] payload, List<Integer> fds, int flags) throws Exception {
        // write does nothing if there are no bytes, and its variant for several buffers sends only the first.
        check(payload.length > 0 && flags == 0);
        try {
            AFUNIXSocketExtensions socket = open(sock);
            socket.setOutboundFileDescriptors(fds.stream().map(this::descriptor).toArray(FileDescriptor[]::new));
            return channel.write(ByteBuffer.allocateDirect(payload.length).put(payload).flip());
        } catch (IOException | NotYetConnectedException e) {
            throw failure(e);
        }
    }

    @Override
    Received libraryRecv(int sock, int most, int room, int flags) throws Exception {
        check(most > 0 && flags == 0);
        ByteBuffer buffer = ByteBuffer.allocateDirect(most);
        List<Integer> fds = new ArrayList<>();
        int n;
        try {
            AFUNIXSocketExtensions socket = open(sock);
            socket.setAncillaryReceiveBufferSize(room == 0 ? 0 : CMSG_HEADER + 4 * room);
            n = channel.read(buffer);
            for (FileDescriptor descriptor : socket.getReceivedFileDescriptors()) {
                open.put(number(descriptor), descriptor);
                fds.add(number(descriptor));
            }
        } catch (IOException | NotYetConnectedException e) {
            throw failure(e);
        }
        ended = n < 0;
        byte[] payload = new byte[Math.max(n, 0)];
        buffer.get(0, payload);
        return new Received(payload, fds, null);
    }

    /** The library reports the end for an empty packet too, which may have descriptors. */
    @Override
    String received(int n, Received r, int at) {
        return super.received(n, r, at) + (ended ? " eof" : "");
    }

    /** If the library has closed the FileDescriptor, this does nothing. */
    @Override
    void closeDescriptor(int fd) {
        try {
            if (fd == caseSock && channel != null) {
                channel.close();
            } else {
                new FileInputStream(descriptor(fd)).close();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        open.remove(fd);
    }

    @Override
    String end() {
        String said = super.end();
        channel = null;
        open.clear();
        return said;
    }

    public static void main(String[] args) throws IOException {
        new Junixsocket().serve();
    }
}
