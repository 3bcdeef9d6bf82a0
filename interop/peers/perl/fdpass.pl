# Peer for IO::FDPass, which passes one descriptor with a byte of its own.

use v5.36;
use FindBin;
use lib $FindBin::Bin;
use IO::FDPass;
use Peer;

use constant BYTE => "\0";

sub hello ($class) {
    return "name=perl-fdpass version=$IO::FDPass::VERSION can=stream,dgram,seqpacket room=1,1 payload=00";
}

# IO::FDPass takes numbers.
sub open_socket ($class, $sock) {
    return $sock;
}

sub send ($class, $socket, $data, $fds, $flags) {
    Peer::unsupported() unless $data eq BYTE && @$fds == 1 && $flags == 0;
    return IO::FDPass::send($socket, $fds->[0]) ? length BYTE : undef;
}

# It tells neither count nor payload: what it says by a number is that there was
# a message of its own.
sub recv ($class, $socket, $size, $room, $flags) {
    Peer::unsupported() if $flags;
    $! = 0;    # IO::FDPass sets none at the end of a connection
    my $fd = IO::FDPass::recv($socket);
    return $fd < 0 ? () : (length BYTE, BYTE, [$fd], undef);
}

Peer::serve(__PACKAGE__);
