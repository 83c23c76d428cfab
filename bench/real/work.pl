# SPDX-License-Identifier: MIT
# The work of the perl row: hashes of arrays, strings that grow, sorted and taken apart again.
use strict;
use warnings;

my ($total, @kept) = (0);
for my $turn (1 .. $ARGV[0]) {
	my (%words, $text);
	for my $i (1 .. 8000) {
		my $word = 'word' . ($i * 7919 % 2003) . "-$turn";
		push @{$words{$word}}, $i;
		$text .= "$word ";
	}
	$total += length $text;
	my %lengths;
	$lengths{length $_}++ for split / /, $text;
	my @rows = map { [$_, scalar @{$words{$_}}, {name => $_, text => 'x' x ($_ =~ /(\d)/)[0]}] } sort keys %words;
	$total += $_->[1] for grep { $_->[2]{text} } @rows;
	push @kept, \@rows;
	shift @kept if @kept > 4;
}
print "$total\n";
