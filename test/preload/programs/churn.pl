# SPDX-License-Identifier: MIT
# Hashes, strings, regular expressions, closures, threads and fork.
use strict;
use warnings;
use Config;

sub work {
    my ($seed) = @_;
    my (%table, @closures);
    my $sum = 0;
    for my $i (1 .. 20000) {
        $table{"key$i"} = { name => "x" x ($i % 97), list => [1 .. $i % 7] };
        delete $table{ "key" . ($i - 500) } if $i > 500 && $i % 2;
        push @closures, sub { $i * $seed } if $i % 50 == 0;
    }
    $sum += length($table{$_}{name}) + @{ $table{$_}{list} } for keys %table;
    $sum += $_->() for @closures;
    my $text = join ",", map { "word$_" } 1 .. 5000;
    $text =~ s/(\d+)/<$1>/g;
    my @parts = split /,/, $text;
    return "$sum " . scalar(keys %table) . " " . length($text) . " $parts[-1]";
}

print work(1), "\n";
if ($Config{useithreads} && eval { require threads }) {
    my @threads = map { my $n = $_; threads->create(sub { work($n) }) } 1 .. 4;
    print $_->join, "\n" for @threads;
}
for my $n (1 .. 3) {
    pipe(my $in, my $out) or die;
    if (!fork) {
        close $in;
        print $out work($n), "\n";
        exit 0;
    }
    close $out;
    print "child: ", <$in>;
    wait;
    die if $?;
}
