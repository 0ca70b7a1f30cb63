#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# cut.pl LISTEN TARGET: between a daemon and xenstored; SIGUSR1 cuts all connections, new ones are served again.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
my ($listen, $target) = @ARGV;
my $cut = 0;
$SIG{USR1} = sub { $cut = 1 };
$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::UNIX->new(Local => $listen, Listen => 8) or die "listen: $!";
my (%peer, $select);
$select = IO::Select->new($server);
sub drop {
	my ($s) = @_;
	my $t = delete $peer{$s} or return;
	delete $peer{$t};
	$select->remove($s, $t);
	close $s;
	close $t;
}
while (1) {
	my @ready = $select->can_read(0.2);
	if ($cut) { $cut = 0; drop($_) for grep { $_ != $server } $select->handles; next }
	for my $s (@ready) {
		if ($s == $server) {
			my $c = $server->accept or next;
			my $t = IO::Socket::UNIX->new(Peer => $target) or do { close $c; next };
			$peer{$c} = $t; $peer{$t} = $c;
			$select->add($c, $t);
			next;
		}
		next unless $peer{$s};
		my $n = sysread $s, my $data, 65536;
		if (!$n) { drop($s); next }
		my $off = 0;
		while ($off < $n) { my $w = syswrite $peer{$s}, $data, $n - $off, $off; last unless $w; $off += $w }
	}
}
