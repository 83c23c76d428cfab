# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# GNU's C++ compiler on templates.
needs=(g++)
# shellcheck source=bench/real/lib/templates.sh
. "$here/lib/templates.sh"
prepare() { templates "$(scaled 4 0 0)" >input.cc; }
run() {
	measured g++ -std=c++17 -O1 -S -o output.s input.cc
}
