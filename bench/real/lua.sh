# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Lua: tables, closures and text; each object is a block of malloc.
needs=(lua5.4)
run() {
	measured lua5.4 "$here/work.lua" "$(scaled 120 20 1)"
}
