# Peer for IO::FDPass, which passes one descriptor with a byte that it chooses.

use v5.36;
use FindBin;
use lib $FindBin::Bin;
use IO::FDPass;
use Peer;

use constant BYTE => "\0";

sub hello ($class) {
    return "name=perl-fdpass version=$IO::FDPass::VERSION can=stream,dgram,seqpacket room=1,1 payload=00";
}

# IO::FDPass takes the descriptor of the socket.
sub open_socket ($class, $sock) {
    return $sock;
}

sub send ($class, $socket, $data, $fds, $flags) {
    Peer::unsupported() unless $data eq BYTE && @$fds == 1 && $flags == 0;
    return IO::FDPass::send($socket, $fds->[0]) ? length BYTE : undef;
}

# It reports neither count nor payload. A descriptor as the result means that it
# received a message in its own format.
sub recv ($class, $socket, $size, $room, $flags) {
    Peer::unsupported() if $flags;
    $! = 0;    # IO::FDPass does not set it at end of file
    my $fd = IO::FDPass::recv($socket);
    return $fd < 0 ? () : (length BYTE, BYTE, [$fd], undef);
}

Peer::serve(__PACKAGE__);
