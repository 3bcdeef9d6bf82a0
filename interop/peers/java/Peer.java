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
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

class Peer {
    /** The library, or this peer, has no interface for the command. */
    static final class Unsupported extends RuntimeException {}
