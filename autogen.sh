#!/bin/sh
# Makes ./configure. After it: mkdir build && cd build && ../configure && make
set -e
cd "$(dirname "$0")"
exec autoreconf --force --install
