# SPDX-License-Identifier: LGPL-2.1-or-later

# AFP_COMPILER_FLAGS
# Sets AFP_CFLAGS (every C file), AFP_KERNEL_CFLAGS (added for *-kernel.c) and AFP_ZDEFS (the linker's flag that refuses
# missing symbols). Every flag is tried first, so that gcc and clang each get what they know.
AC_DEFUN([AFP_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [warnings of the compiler are errors])],
    [], [enable_werror=no])

  AFP_CFLAGS=$afp_default_opt
  # No contraction to fused multiply-adds, in any file: the same bytes with every compiler and machine.
  AX_APPEND_COMPILE_FLAGS([ dnl
    -std=gnu11 dnl
    -fvisibility=hidden dnl
    -fno-common dnl
    -fno-strict-aliasing dnl
    -ffp-contract=off dnl
  ], [AFP_CFLAGS], [-Werror])
  AX_APPEND_COMPILE_FLAGS([ dnl
    -Wall dnl
    -Wextra dnl
    -Wshadow dnl
    -Wstrict-prototypes dnl
    -Wmissing-prototypes dnl
    -Wmissing-declarations dnl
    -Wold-style-definition dnl
    -Wformat=2 dnl
    -Wundef dnl
    -Wpointer-arith dnl
    -Wwrite-strings dnl
    -Wredundant-decls dnl
    -Wnested-externs dnl
    -Winit-self dnl
    -Wlogical-op dnl
    -Wduplicated-cond dnl
    -Wimplicit-fallthrough dnl
    -Wvla dnl
    -Wdate-time dnl
    -Wno-unused-parameter dnl
    -Wno-missing-field-initializers dnl
  ], [AFP_CFLAGS], [-Werror])
  AS_IF([test "x$enable_werror" != xno], [AFP_CFLAGS="$AFP_CFLAGS -Werror"])

  # None of these changes a value; -O3 counts only where the user set no CFLAGS.
  AFP_KERNEL_CFLAGS=
  AS_IF([test -n "$afp_default_opt"], [AX_APPEND_COMPILE_FLAGS([-O3], [AFP_KERNEL_CFLAGS], [-Werror])])
  AX_APPEND_COMPILE_FLAGS([-fno-math-errno -fno-trapping-math], [AFP_KERNEL_CFLAGS], [-Werror])

  AFP_ZDEFS=
  AX_CHECK_LINK_FLAG([-Wl,-z,defs], [AFP_ZDEFS=-Wl,-z,defs])

  AC_SUBST([AFP_CFLAGS])
  AC_SUBST([AFP_KERNEL_CFLAGS])
  AC_SUBST([AFP_ZDEFS])
])

# AFP_ARG_SANITIZERS
# --enable-sanitizers=LIST goes into AFP_CFLAGS and AFP_LDFLAGS, never into CFLAGS. After AFP_COMPILER_FLAGS.
AC_DEFUN([AFP_ARG_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers=LIST], [address,undefined or thread (default: none)])],
    [], [enable_sanitizers=no])
  AS_IF([test "x$enable_sanitizers" = xyes], [enable_sanitizers=address,undefined])
  AS_IF([test "x$enable_sanitizers" != xno], [
    afp_sanitize="-fsanitize=$enable_sanitizers"
    AX_CHECK_LINK_FLAG([$afp_sanitize], [], [AC_MSG_ERROR([the compiler cannot link with $afp_sanitize])])
    AFP_CFLAGS="$AFP_CFLAGS $afp_sanitize -fno-omit-frame-pointer"
    AX_APPEND_COMPILE_FLAGS([-fno-sanitize-recover=all], [AFP_CFLAGS], [-Werror])
    AFP_LDFLAGS="$AFP_LDFLAGS $afp_sanitize"
    # The run-time library of the sanitizer is linked into programs only: modules keep symbols open.
    AFP_ZDEFS=
    AC_DEFINE([AFP_SANITIZED], [1], [Define to 1 if built with a sanitizer: no limits on address space, no fork tricks])
  ])
  AC_SUBST([AFP_LDFLAGS])
  AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" != xno])
  AS_CASE([,$enable_sanitizers,], [*,thread,*], [afp_thread_sanitizer=yes], [afp_thread_sanitizer=no])
  AM_CONDITIONAL([THREAD_SANITIZER], [test "$afp_thread_sanitizer" = yes])
])

# AFP_ARG_COVERAGE
AC_DEFUN([AFP_ARG_COVERAGE], [
  AC_ARG_ENABLE([coverage],
    [AS_HELP_STRING([--enable-coverage], [count executed lines (gcov)])],
    [], [enable_coverage=no])
  AS_IF([test "x$enable_coverage" != xno], [
    AX_CHECK_LINK_FLAG([--coverage], [], [AC_MSG_ERROR([the compiler cannot link with --coverage])])
    AX_APPEND_COMPILE_FLAGS([--coverage -fprofile-update=atomic], [AFP_CFLAGS])
    AFP_LDFLAGS="$AFP_LDFLAGS --coverage"
  ])
])

# AFP_CHECK_TARGET_AVX2
# Defines HAVE_TARGET_AVX2 where one function can be compiled for AVX2 and FMA, and the processor asked at run time.
AC_DEFUN([AFP_CHECK_TARGET_AVX2], [
  AC_CACHE_CHECK([for functions with target("avx2,fma")], [afp_cv_target_avx2], [
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[
      #include <immintrin.h>
      __attribute__ ((target ("avx2,fma"), noinline)) static float
      probe (const float *x)
      {
        __m256 v = _mm256_loadu_ps (x);
        __m256i n = _mm256_slli_epi32 (_mm256_castps_si256 (v), 1);
        return _mm256_cvtss_f32 (_mm256_fmadd_ps (v, _mm256_castsi256_ps (n), v));
      }
      ]], [[
      float x[8] = { 1 };
      if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
        return probe (x) > 2;
      ]])], [afp_cv_target_avx2=yes], [afp_cv_target_avx2=no])])
  AS_IF([test "x$afp_cv_target_avx2" = xyes],
    [AC_DEFINE([HAVE_TARGET_AVX2], [1], [Define to 1 if functions can be compiled for AVX2 and chosen at run time])])
])
