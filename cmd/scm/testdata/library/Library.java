    // The members of a class.
    static final jnr.posix.POSIX POSIX = jnr.posix.POSIXFactory.getNativePOSIX();

    static int checked(int n) {
        if (n < 0) {
            throw new Errno(POSIX.errno());
        }
        return n;
    }

    /** jnr-posix takes the address of direct buffers only. */
    static java.nio.ByteBuffer direct(int size) {
        return java.nio.ByteBuffer.allocateDirect(size).order(java.nio.ByteOrder.nativeOrder());
    }

    static int librarySend(int sock, byte[] payload, List<Integer> fds) {
        var message = POSIX.allocateMsgHdr();
        message.setIov(new java.nio.ByteBuffer[] {direct(payload.length).put(payload).flip()});
        if (!fds.isEmpty()) {
            var data = direct(4 * fds.size());
            fds.forEach(data::putInt);
            var control = message.allocateControl(data.capacity());
            control.setLevel(1); // SOL_SOCKET
            control.setType(1); // SCM_RIGHTS
            control.setData(data.flip());
        }
        return checked(POSIX.sendmsg(sock, message, 0));
    }

    static Received libraryRecv(int sock, int most, int room) {
        var message = POSIX.allocateMsgHdr();
        var buffer = direct(most);
        message.setIov(new java.nio.ByteBuffer[] {buffer});
        if (room > 0) {
            message.allocateControl(4 * room);
        }
        var payload = new byte[checked(POSIX.recvmsg(sock, message, 0x40000000))]; // MSG_CMSG_CLOEXEC
        buffer.get(0, payload);
        var fds = new ArrayList<Integer>();
        for (var control : message.getControls()) {
            var data = control.getData().order(java.nio.ByteOrder.nativeOrder());
            while (control.getLevel() == 1 && data.remaining() >= 4) {
                if (control.getType() == 1) { // SCM_RIGHTS
                    fds.add(data.getInt());
                } else if (control.getType() == 4) { // SCM_PIDFD
                    POSIX.close(data.getInt());
                } else {
                    break;
                }
            }
        }
        return new Received(payload, fds, message.getFlags());
    }
