# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
# Node: V8 has heaps of its own for objects; malloc serves the engine, buffers and the compiler.
needs=(node)
run() {
	measured node --random-seed=1 "$here/work.js" "$(scaled 40 8 1)"
}
