package Peer;

# The common part of the peers in Perl, which implements interop/peers/README.md. Each
# interface of a library is a package with hello, open_socket, send and recv.

use v5.36;
use Errno ();
use POSIX ();
use Socket ();

use constant {
    PAYLOAD_MAX => 64 << 20,
    INT_MIN     => -2**31,
    INT_MAX     => 2**31 - 1,
    LONG_MAX    => 9_223_372_036_854_775_807,
};

# Socket has no MSG_MORE.
my %SEND = (bits(qw(dontwait nosignal eor oob)), more => 0x8000);
my %RECV = bits(qw(dontwait peek waitall oob));
my @REPORTED = qw(ctrunc trunc eor oob);
my %REPORTED = bits(@REPORTED);

my %ERRNO = map { Errno->can($_)->() => $_ } reverse sort keys %!;
$ERRNO{ Errno::EOPNOTSUPP() } = 'EOPNOTSUPP';    # the same value as ENOTSUP, which the socket manuals do not use

sub bits (@names) {
    return map { $_ => Socket->can('MSG_' . uc)->() } @names;
}

# Rejects a command that is not supported. Nothing was done.
sub unsupported () {
    die "unsupported\n";
}

sub items ($text) {
    unsupported() if $text eq '';
    return $text eq '-' ? () : split /,/, $text, -1;
}

# Accepts an integer only as it would be printed. Perl also accepts +3, 03, 1e1 and 3x.
sub integer ($text, $least, $most) {
    unsupported() unless $text =~ /\A(?:0|-?[1-9][0-9]{0,18})\z/ && $text >= $least && $text <= $most;
    return 0 + $text;
}

sub integers ($text, $least = 0) {
    return map { integer($_, $least, INT_MAX) } items($text);
}

sub flags ($text, $known) {
    my $flags = 0;
    for my $name (items($text)) {
        unsupported() unless exists $known->{$name};
        $flags |= $known->{$name};
    }
    return $flags;
}

sub pattern ($at, $count) {
    my $period = pack 'C*', map { ($at % 251 + $_) % 251 } 0 .. 250;
    return substr $period x ($count / 251 + 1), 0, $count;
}

sub buffer ($text, $at) {
    return '' if $text eq '-';
    return pattern($at, integer($1, 1, PAYLOAD_MAX)) if $text =~ /\A@(.*)\z/s;
    unsupported() unless $text =~ /\A(?:[0-9a-f]{2})+\z/;
    return pack 'H*', $text;
}

sub format_payload ($data, $at) {
    return $data eq '' ? '-' : unpack 'H*', $data if length $data <= 4096;
    my $differs = $data ^. pattern($at, length $data);
    return $differs =~ /[^\0]/ ? "!$-[0]" : '@' . length $data;
}

sub format_flags ($flags) {
    my @names = grep { $flags & $REPORTED{$_} } @REPORTED;
    $flags &= ~$REPORTED{$_} for @names;
    push @names, sprintf '%#x', $flags if $flags;
    return join(',', @names) || '-';
}

my $library;
my $sock;    # the descriptor of the case's socket
my %held;    # given or received, and still open, with the library's handle if it is a socket

my %FIELDS = (
    hello => [],
    use   => [qw(sock fds?)],
    send  => [qw(payload fds at? flags?)],
    recv  => [qw(bytes fds at? flags?)],
    close => [qw(fds)],
    end   => [],
);

sub answer ($line) {
    my ($verb, @words) = split / /, $line, -1;
    unsupported() unless defined $verb && $FIELDS{$verb};
    my %fields;
    for my $word (@words) {
        unsupported() unless $word =~ /\A([^=]*)=(.*)\z/s && !exists $fields{$1};
        $fields{$1} = $2;
    }
    my @values;
    for my $known (@{ $FIELDS{$verb} }) {
        my ($name, $optional) = $known =~ /\A(\w+)(\?)?\z/;
        unsupported() unless $optional || exists $fields{$name};
        push @values, delete $fields{$name};
    }
    unsupported() if %fields;
    return __PACKAGE__->can("do_$verb")->(@values);
}

sub do_hello () {
    return 'ok lang=perl ' . $library->hello;
}

sub do_use ($number, $fds) {
    my @given = (integer($number, 0, INT_MAX), integers($fds // '-'));
    do_end();
    $sock = $given[0];
    @held{@given} = ();
    return 'ok';
}

sub do_send ($payload, $fds, $at, $flags) {
    my $data   = buffer($payload, integer($at // 0, 0, LONG_MAX));
    my @fds    = integers($fds, INT_MIN);
    my $number = flags($flags // '-', \%SEND);
    my $n      = $library->send(opened(), $data, \@fds, $number);
    return defined $n ? 'ok n=' . (0 + $n) : failed();    # it may be "0 but true"
}

sub do_recv ($bytes, $room, $at, $flags) {
    my @room   = (integer($bytes, 0, PAYLOAD_MAX), integer($room, 0, 65_535));
    my $start  = integer($at // 0, 0, LONG_MAX);
    my $number = flags($flags // '-', \%RECV);
    my ($n, $data, $fds, $reported) = $library->recv(opened(), @room, $number);
    return failed() unless defined $n;
    @held{@$fds} = ();
    my $list = join(',', @$fds) || '-';
    my $text = 'ok n=' . (0 + $n) . ' payload=' . format_payload($data, $start) . " fds=$list";
    return defined $reported ? "$text flags=" . format_flags($reported) : $text;
}

# If the library sets no errno, it failed with an error of its own.
sub failed () {
    return 'err lib' if $! == 0;
    return 'err ' . ($ERRNO{ 0 + $! } // 0 + $!);
}

sub opened () {
    unsupported() unless defined $sock && exists $held{$sock};
    return $held{$sock} //= $library->open_socket($sock);
}

sub do_close ($fds) {
    my %fds = map { $_ => 1 } integers($fds);
    unsupported() if grep { !exists $held{$_} } keys %fds;
    for my $fd (keys %fds) {
        my $opened = delete $held{$fd};
        ref $opened ? close $opened : POSIX::close($fd);
    }
    return 'ok';
}

sub do_end () {
    do_close(join(',', keys %held) || '-');
    undef $sock;
    return 'ok';
}

sub serve ($class) {
    $library = $class;
    local $SIG{PIPE} = 'IGNORE';
    local $| = 1;
    binmode STDIN;
    binmode STDOUT;
    while (defined(my $line = <STDIN>)) {
        chomp $line;
        my $answer = eval { answer($line) };
        if (!defined $answer) {
            die $@ if $@ ne "unsupported\n";
            $answer = 'unsupported';
        }
        print "$answer\n";
    }
    return;
}

1;
