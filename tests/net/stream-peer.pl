#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# stream-peer.pl SOCKET [echo|late|lie|mute|pieces|sink]: listens, and speaks frames with a length in front, as passt does.
#	echo    each frame comes back    pieces  the same, a few bytes at a time, then more
#	sink    takes 16 frames, then rests 4 ms
#	late    reads nothing until SIGUSR1
#	mute    reads nothing            lie     answers the first frame with a length that no frame has
use strict;
use warnings;
use IO::Socket::UNIX;
my ($path, $mode) = @ARGV;
$| = 1;
my $listen = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!";
print "ready\n";
my $go = 0;
$SIG{USR1} = sub { $go = 1; };
my $s = $listen->accept or die "accept: $!";
print "connected\n";
if ($mode eq 'late') { select undef, undef, undef, 0.01 until $go; }
if ($mode eq 'mute') { sleep 1000; }
sub take {
	my ($n) = @_;
	my $all = '';
	while (length $all < $n) {
		my $got = sysread $s, my $part, $n - length $all;
		if (!$got) { print "closed\n"; exit 0; }
		$all .= $part;
	}
	return $all;
}
my $frames = 0;
while (1) {
	my $frame = take(unpack 'N', take(4));
	print 'frame ', length $frame, "\n";
	next if $mode eq 'late';
	if ($mode eq 'sink') { select undef, undef, undef, 0.004 if ++$frames % 16 == 0; next; }
	if ($mode eq 'lie') { syswrite $s, pack 'N', 0x7fffffff; next; }
	my $back = pack('N', length $frame) . $frame;
	my $step = 0;
	for (my $at = 0; $at < length $back; $at += $step) {
		$step = $mode ne 'pieces' ? length $back : $at < 700 ? 7 : 1021;
		syswrite $s, substr $back, $at, $step;
		select undef, undef, undef, 0.0005 if $mode eq 'pieces';
	}
}
