# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Python without its own allocator for small objects: dictionaries, text, JSON, trees of objects.
needs=(python3)
run() {
	PYTHONMALLOC=malloc PYTHONHASHSEED=1 measured python3 "$here/work.py" "$(scaled 40 8 1)"
}
