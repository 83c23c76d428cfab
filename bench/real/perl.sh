# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Perl: hashes, strings that grow, arrays of arrays, regular expressions.
needs=(perl)
run() {
	PERL_HASH_SEED=1 measured perl "$here/work.pl" "$(scaled 150 20 1)"
}
