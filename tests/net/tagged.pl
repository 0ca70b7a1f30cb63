#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# tagged.pl send INTERFACE DATA [MSS]: a frame of TCP with DATA bytes behind a VLAN tag, its checksum left open; with MSS it is to be cut.
#	It goes to the interface as from a kernel with VLANs, which this one may not be.
# tagged.pl take INTERFACE N: the next N frames of TCP there: their data's bytes, and "ok" when lengths and checksums are right.  The
#	kernel has taken the tag off by then.
use strict;
use warnings;
use Socket;
my ($mode, $interface, @args) = @ARGV;
my ($AF_PACKET, $SOL_PACKET, $PACKET_VNET_HDR, $SIOCGIFINDEX) = (17, 263, 15, 0x8933);
$| = 1;
socket(my $s, $AF_PACKET, SOCK_RAW, unpack('S', pack 'n', 3)) or die "socket: $!";
my $request = pack 'a16x16', $interface;
ioctl($s, $SIOCGIFINDEX, $request) or die "$interface: $!";
my $index = unpack 'x16i', $request;

sub sum {
	my ($sum, $bytes) = (0, shift);
	$sum += $_ for unpack 'n*', $bytes . "\0" x (length($bytes) & 1);
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return $sum;
}

sub pseudo { my ($ip, $bytes) = @_; return substr($ip, 12, 8) . pack 'nn', 6, $bytes; }

if ($mode eq 'send') {
	my ($data, $mss) = @args;
	setsockopt($s, $SOL_PACKET, $PACKET_VNET_HDR, 1) or die "PACKET_VNET_HDR: $!";
	bind($s, pack 'SniSCCa8', $AF_PACKET, 0x8100, $index, 0, 0, 0, '') or die "bind: $!";
	my $ip = pack 'CCnnnCCnC4C4', 0x45, 0, 40 + $data, 1, 0x4000, 64, 6, 0, 10, 9, 0, 7, 10, 9, 0, 8;
	substr($ip, 10, 2) = pack 'n', 0xffff ^ sum($ip);
	my $tcp = pack 'nnNNCCnnn', 7, 8, 1000, 0, 0x50, 0x18, 100, sum(pseudo($ip, 20 + $data)), 0;
	my $frame = pack('H24nn', 'ffffffffffff020000000009', 0x8100, 5) . pack('n', 0x0800) . $ip . $tcp . join '', map { chr($_ * 7 & 255) } 1 .. $data;
	my $head = pack 'CCSSSS', 1, $mss ? 1 : 0, $mss ? 58 : 0, $mss // 0, 38, 16;
	defined syswrite($s, $head . $frame) or die "send: $!";
} else {
	bind($s, pack 'SniSCCa8', $AF_PACKET, 3, $index, 0, 0, 0, '') or die "bind: $!";
	setsockopt($s, SOL_SOCKET, 33, 8 << 20) or die "SO_RCVBUFFORCE: $!";
	print "ready\n";
	for (my $left = $args[0]; $left > 0;) {
		my $from = recv($s, my $frame, 70000, 0) // die "recv: $!";
		my ($kind, $type) = ((unpack 'SniSC', $from)[4], unpack 'x12n', $frame);
		next if $kind == 4 || $type != 0x0800 || substr($frame, 23, 1) ne "\6" || unpack('x34n', $frame) != 7; # 4: going out
		my $bytes = unpack 'x16n', $frame;
		my ($ip, $tcp) = (substr($frame, 14, 20), substr($frame, 34));
		my $right = length($frame) == 14 + $bytes && sum($ip) == 0xffff && sum(pseudo($ip, length $tcp) . $tcp) == 0xffff;
		print length($tcp) - 20, $right ? ' ok' : ' wrong', "\n";
		$left--;
	}
}
