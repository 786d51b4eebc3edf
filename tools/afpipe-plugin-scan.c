/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-scan.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
/* A plugin that crashes shall end this program by its signal in every build. */
AFP_API const char *__asan_default_options (void);
const char *
__asan_default_options (void)
{
  return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:detect_leaks=0";
}
#endif

/* Not for people: the library talks to it over a socket. */
int
main (void)
{
  struct stat info;

  if (fstat (STDIN_FILENO, &info) == 0 && S_ISSOCK (info.st_mode))
    return afp_scan_serve (STDIN_FILENO);
  fputs (AFP_SCAN_HELPER ": afpipe starts this program by itself, to try plugins\n", stderr);
  return 2;
}
