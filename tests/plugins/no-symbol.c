/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that is no plugin. */
#include "afpipe.h"

AFP_API int afp_test_something (void);
int
afp_test_something (void)
{
  return 42;
}
