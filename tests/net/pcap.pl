#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# pcap.pl FILE: reads a pcap file as pcap-savefile(5) describes it, and prints a line a packet: "BYTES of LENGTH, DESTINATION, TYPE".
# Anything else in the file ends it with an error.
use strict;
use warnings;
open my $f, '<:raw', $ARGV[0] or die "$ARGV[0]: $!\n";
my $all = do { local $/; <$f> };
die "shorter than a header\n" if length $all < 24;
my ($magic, $major, $minor, $zone, $sigfigs, $snaplen, $link) = unpack 'VvvVVVV', $all;
die sprintf "magic %08x, not that of nanoseconds\n", $magic if $magic != 0xa1b23c4d;
die "version $major.$minor\n" if $major != 2 || $minor != 4;
die "link type $link is not Ethernet\n" if $link != 1;
die "a time zone\n" if $zone || $sigfigs;
my ($at, $before) = (24, 0);
while ($at < length $all) {
	die "cut off in a packet's header\n" if $at + 16 > length $all;
	my ($sec, $nsec, $kept, $bytes) = unpack 'VVVV', substr $all, $at, 16;
	my $time = $sec + $nsec / 1e9;
	die "$nsec nanoseconds\n" if $nsec >= 1000000000;
	die "time goes back\n" if $time < $before || abs($time - time) > 3600;
	die "$kept bytes kept of $bytes, at most $snaplen\n" if $kept > $snaplen || $kept > $bytes || $at + 16 + $kept > length $all;
	printf "%d of %d, %s, %s\n", $kept, $bytes, unpack('H12', substr $all, $at + 16, 6), unpack('H4', substr $all, $at + 28, 2);
	$before = $time;
	$at += 16 + $kept;
}
