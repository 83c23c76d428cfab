#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure from configure.ac and Makefile.am.
set -eu
cd "$(dirname "$0")"
mkdir -p m4
autoreconf --force --install
