# shellcheck shell=bash disable=SC2034
# Shared by quickstart and selftest, which run in the top folder of the sources.

afp_jobs=$(($(nproc 2>/dev/null || echo 2) + 1)) # one more than processors: some of the tests wait

# Makes ./configure where it is missing or older than what it is made from.
afp_bootstrap () {
  if [ -e config.status ]; then
    echo "The source folder itself is configured; builds beside it need it clean: make distclean" >&2
    return 1
  fi
  if [ ! -e configure ] || [ ! -e Makefile.in ] ||
    [ -n "$(find configure.ac Makefile.am m4 core/afp-types.h ./*/Makefile.inc plugins/*/Makefile.inc tests/*/Makefile.inc \
      -newer configure -print -quit)" ]; then
    ./autogen.sh
  fi
}

# afp_configure DIR ARGUMENT...: configures the build folder DIR, again only where the arguments changed. The shell of the machine runs
# libtool faster than bash, which configure would choose: measured: 0.15 s less for each object and program.
afp_configure () {
  local dir=$1 top=$PWD
  shift
  mkdir -p "$dir"
  if [ -e "$dir/config.status" ] && [ "$(cat "$dir/.configured-with" 2>/dev/null)" = "$*" ]; then
    return 0
  fi
  (cd "$dir" && CONFIG_SHELL=/bin/sh "$top/configure" "$@" && echo "$*" >.configured-with)
}
