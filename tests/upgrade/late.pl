#!/usr/bin/perl
# SPDX-License-Identifier: LGPL-2.1-or-later
# late.pl DIR - in a worker's place: says what is right, but answers a RESIZE only when it has been told to quit, has said that it
# did, and DIR/answer is there.  It makes DIR/asked and DIR/answered meanwhile, and stays until it is killed.
use strict;
use warnings;

my ($dir) = @ARGV;
my %type = (HELLO => 1, OPEN => 2, RESIZE => 7, QUIT => 8, REPLY => 0x8000);
open(my $sock, '+<&=', 3) or die "fd 3: $!\n";

sub say_it
{
	my ($what, $seq, $handle, $body) = @_;
	defined send($sock, pack('L S S L L l L', 0x48545953, 3, $what, $seq, $handle, 0, length $body) . $body, 0) or exit 1;
}

# struct blk_info of so many sectors
sub info { return pack('Q L7 a32 x4', $_[0], 512, 0, 0, 0, 0, 0, 0, 'null') }

sub made { open(my $f, '>', "$dir/$_[0]"); close $f }

say_it($type{HELLO}, 0, 0, pack('L L', 0, 0));
my (@resize, $m);
while (defined recv($sock, $m, 65536, 0) && length $m) {
	my (undef, undef, $what, $seq, $handle) = unpack('L S S L L', $m);
	if ($what == $type{RESIZE}) {
		@resize = ($seq, $handle);
		made('asked');
		next;
	}
	say_it($what | $type{REPLY}, $seq, $handle, $what == $type{OPEN} ? info(16384) : '');
	last if $what == $type{QUIT};
}
select(undef, undef, undef, 0.05) until -e "$dir/answer";
say_it($type{RESIZE} | $type{REPLY}, @resize, info(2)) if @resize;
made('answered');
sleep 60;
