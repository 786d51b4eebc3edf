/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-child.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not for people: the plugin 'io' talks to it over a socket. */
int
main (void)
{
  struct stat info;

  if (fstat (STDIN_FILENO, &info) == 0 && S_ISSOCK (info.st_mode))
    return afp_h5_serve (STDIN_FILENO, afp_h5_ops);
  fputs (AFP_H5_HELPER ": afpipe starts this program by itself, to read HDF5 files\n", stderr);
  return 2;
}
