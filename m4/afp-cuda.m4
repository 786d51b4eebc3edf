# SPDX-License-Identifier: LGPL-2.1-or-later

# AFP_CHECK_CUDA
# --with-cuda=auto|yes|no|DIR. Looks for nvcc in DIR/bin, else in PATH, else in $CUDA_HOME/bin; then compiles a tiny kernel
# and links it into a shared object with the C compiler, as the build will do. Sets the conditional HAVE_CUDA and the
# variables NVCC, NVCCFLAGS, NVCC_ARCH_FLAGS and CUDA_LIBS. The run-time library of CUDA is linked in: a module with kernels
# loads on a machine without driver or device.
AC_DEFUN([AFP_CHECK_CUDA], [
  AC_REQUIRE([AC_PROG_CC])
  AC_ARG_VAR([NVCC], [the CUDA compiler])
  AC_ARG_VAR([NVCCFLAGS], [flags for the CUDA compiler])
  AC_ARG_WITH([cuda],
    [AS_HELP_STRING([--with-cuda=auto|yes|no|DIR], [CUDA kernels (auto: where nvcc works)])],
    [], [with_cuda=auto])
  AC_ARG_WITH([cuda-arch],
    [AS_HELP_STRING([--with-cuda-arch=ARCH], [the -arch of nvcc: sm_80, native, all-major ... (auto: the oldest of a few that works)])],
    [], [with_cuda_arch=auto])

  afp_have_cuda=no
  NVCC_ARCH_FLAGS=
  CUDA_LIBS=
  AS_CASE([$with_cuda],
    [no], [],
    [auto|yes], [AC_PATH_PROG([NVCC], [nvcc], [], [$PATH$PATH_SEPARATOR${CUDA_HOME:-/usr/local/cuda}/bin])],
    [AS_IF([test -x "$with_cuda/bin/nvcc"], [NVCC=$with_cuda/bin/nvcc],
       [AC_MSG_ERROR([--with-cuda=$with_cuda: there is no bin/nvcc in that folder])])])

  AS_IF([test "x$with_cuda" != xno && test -n "$NVCC"], [_AFP_TRY_CUDA])
  AS_IF([test "x$afp_have_cuda" = xno && test "x$with_cuda" != xno && test "x$with_cuda" != xauto],
    [AS_IF([test -n "$NVCC"],
      [AC_MSG_ERROR([--with-cuda=$with_cuda: $NVCC cannot build a kernel (see config.log; --with-cuda-arch, NVCCFLAGS)])],
      [AC_MSG_ERROR([--with-cuda=$with_cuda: nvcc is neither in PATH nor in CUDA_HOME/bin; give --with-cuda=DIR])])])

  AS_IF([test "x$afp_have_cuda" = xyes], [
    afp_cuda_summary="$NVCC $NVCC_ARCH_FLAGS"
    AC_DEFINE([HAVE_CUDA], [1], [Define to 1 if CUDA kernels are built])
  ], [
    afp_cuda_summary=no
    CUDA_LIBS=
  ])
  AC_SUBST([NVCC_ARCH_FLAGS])
  AC_SUBST([CUDA_LIBS])
  AM_CONDITIONAL([HAVE_CUDA], [test "x$afp_have_cuda" = xyes])
])

# _AFP_TRY_CUDA: sets afp_have_cuda, NVCC_ARCH_FLAGS, CUDA_LIBS and the default of NVCCFLAGS.
AC_DEFUN([_AFP_TRY_CUDA], [
  : ${NVCCFLAGS="-O3 -g"}
  AS_CASE([$with_cuda_arch], [auto], [afp_archs='sm_75 sm_80 sm_90 default'], [afp_archs=$with_cuda_arch])
  cat >conftest.cu <<'_AFPEOF'
__global__ void
scale (float *x, float a)
{
  x[[blockIdx.x * blockDim.x + threadIdx.x]] *= a;
}
extern "C" int
probe (float *x)
{
  int n = 0;
  scale<<<1, 1>>> (x, 2.0f);
  return cudaGetDeviceCount (&n) == cudaSuccess ? n : 0;
}
_AFPEOF
  AC_MSG_CHECKING([for an -arch that $NVCC can compile])
  afp_arch_found=no
  for afp_arch in $afp_archs; do
    AS_IF([test "$afp_arch" = default], [NVCC_ARCH_FLAGS=], [NVCC_ARCH_FLAGS="-arch=$afp_arch"])
    _AFP_RUN([$NVCC --forward-unknown-to-host-compiler $NVCCFLAGS $NVCC_ARCH_FLAGS -fPIC -c -o conftest-cuda.o conftest.cu],
      [afp_arch_found=$afp_arch; break])
  done
  AC_MSG_RESULT([$afp_arch_found])

  AS_IF([test "x$afp_arch_found" != xno], [
    # nvcc writes C++: without libstdc++ a module linked by the C compiler fails at dlopen. Searched beside nvcc first.
    afp_nvcc=`readlink -f "$NVCC" 2>/dev/null || AS_ECHO(["$NVCC"])`
    afp_cuda_root=`AS_DIRNAME(["$afp_nvcc"])`
    afp_cuda_root=`cd "$afp_cuda_root/.." && pwd -P`
    AC_MSG_CHECKING([how to link a CUDA kernel])
    afp_link_found=no
    for afp_dir in '' "$afp_cuda_root/lib64" "$afp_cuda_root/lib" "$afp_cuda_root/targets/$host_cpu-linux/lib"; do
      AS_IF([test -n "$afp_dir" && test ! -d "$afp_dir"], [continue])
      CUDA_LIBS="${afp_dir:+-L$afp_dir }-lcudart_static -lstdc++ -lrt -lpthread -ldl"
      _AFP_RUN([$CC -shared -Wl,-z,defs -o conftest-cuda.so conftest-cuda.o $CUDA_LIBS -lm],
        [afp_link_found=yes; break])
    done
    AS_IF([test "x$afp_link_found" = xyes], [AC_MSG_RESULT([$CUDA_LIBS])], [AC_MSG_RESULT([no])])
    afp_have_cuda=$afp_link_found
  ])
  rm -f conftest.cu conftest-cuda.o conftest-cuda.so
])

# _AFP_RUN(COMMAND, IF-IT-WORKS): runs COMMAND with its text and output in config.log.
AC_DEFUN([_AFP_RUN], [
    AS_ECHO(["$as_me:${as_lineno-$LINENO}: $1"]) >&AS_MESSAGE_LOG_FD
    AS_IF([$1 >&AS_MESSAGE_LOG_FD 2>&AS_MESSAGE_LOG_FD], [$2])])
