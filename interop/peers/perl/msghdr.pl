# Peer for Socket::MsgHdr, which returns descriptors as numbers and has no name for MSG_CMSG_CLOEXEC.

use v5.36;
use FindBin;
use lib $FindBin::Bin;
use Peer;
use Socket qw(SOL_SOCKET SCM_RIGHTS);
use Socket::MsgHdr;

# The size of a control message's header, because Perl has no CMSG_LEN.
use constant HEADER => length pack 'J i i', 0, 0, 0;

sub hello ($class) {
    return "name=perl-msghdr version=$Socket::MsgHdr::VERSION can=stream,dgram,seqpacket,multi,flags";
}

sub open_socket ($class, $sock) {
    open my $handle, '+<&=', $sock or die "fdopen: $!\n";
    return $handle;
}

sub send ($class, $socket, $data, $fds, $flags) {
    my $message = Socket::MsgHdr->new(buf => $data);
    $message->cmsghdr(SOL_SOCKET, SCM_RIGHTS, pack 'i*', @$fds) if @$fds;
    return sendmsg($socket, $message, $flags);
}

sub recv ($class, $socket, $size, $room, $flags) {
    my $message = Socket::MsgHdr->new(buflen => $size, controllen => HEADER + 4 * $room);
    my $n = recvmsg($socket, $message, $flags);
    return unless defined $n;
    my @fds;
    my @control = $message->cmsghdr;
    while (my ($level, $type, $data) = splice @control, 0, 3) {
        push @fds, unpack 'i*', $data if $level == SOL_SOCKET && $type == SCM_RIGHTS;
    }
    return ($n, $message->buf, \@fds, $message->flags);
}

Peer::serve(__PACKAGE__);
