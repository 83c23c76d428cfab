# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Ruby: text, arrays and hashes, whose contents lie outside of its own heap of objects.
needs=(ruby)
run() {
	measured ruby --disable-gems "$here/work.rb" "$(scaled 80 12 1)"
}
