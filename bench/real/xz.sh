# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# xz with two threads: few blocks, large ones.
needs=(xz)
prepare() {
	awk -v lines="$(scaled 200000 60000 2000)" 'BEGIN {
		for (i = 0; i < lines; i++)
			printf "%d %s of line %d\n", i * 7919 % 10007, i % 7 ? "text" : "other words", i * i % 1000003
	}' >input
}
run() {
	measured xz -T2 -2 --block-size=1MiB -c input >output.xz
	measured xz -T2 -dc output.xz >/dev/null
}
