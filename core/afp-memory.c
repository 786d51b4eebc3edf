/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define AFP_MEMORY_UNKNOWN (G_GUINT64_CONSTANT (4) << 30)
#define AFP_MEMORY_LATER (G_GUINT64_CONSTANT (5) << 20)    /* code of libraries, HDF5 at work */
#define AFP_MEMORY_THREAD (G_GUINT64_CONSTANT (256) << 10) /* a stack, small blocks of malloc */
#define AFP_MEMORY_RECORD 5120 /* of a tensor: by a sink, by eval, in the report */

static char *
afp_memory_read (const char *root, const char *path)
{
  g_autofree char *name = g_strconcat (root, path, NULL);
  char *text = NULL;

  return g_file_get_contents (name, &text, NULL, NULL) ? text : NULL;
}

static guint64
afp_memory_read_total (const char *root)
{
  g_autofree char *text = afp_memory_read (root, "/proc/meminfo");
  const char *line = text ? strstr (text, "MemTotal:") : NULL;

  return line ? g_ascii_strtoull (line + strlen ("MemTotal:"), NULL, 10) * 1024 : 0;
}

/* The smallest limit in @file of @group and the groups above it; G_MAXUINT64 if there is none. */
static guint64
afp_memory_read_group (const char *root, const char *mount, const char *group, const char *file)
{
  g_autofree char *path = g_strdup (group);
  guint64 limit = G_MAXUINT64;

  for (;;) {
    g_autofree char *name =
        g_strconcat (mount, strcmp (path, "/") == 0 ? "" : path, "/", file, NULL);
    g_autofree char *text = afp_memory_read (root, name);
    char *slash;

    if (text && g_ascii_isdigit (text[0]))
      limit = MIN (limit, g_ascii_strtoull (text, NULL, 10));
    slash = strrchr (path, '/');
    if (!slash || path[1] == '\0')
      return limit;
    slash[slash == path ? 1 : 0] = '\0';
  }
}

guint64
afp_memory_get_limit (const char *root)
{
  guint64 total = afp_memory_read_total (root);
  guint64 limit = total ? total : G_MAXUINT64;
  g_autofree char *text = afp_memory_read (root, "/proc/self/cgroup");
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  /* "0::/user.slice" (v2) or "4:memory:/user.slice" (v1) */
  for (guint i = 0; lines[i]; i++) {
    g_auto (GStrv) fields = g_strsplit (lines[i], ":", 3);
    g_auto (GStrv) controllers = NULL;

    if (g_strv_length (fields) != 3 || fields[2][0] != '/')
      continue;
    controllers = g_strsplit (fields[1], ",", -1);
    if (strcmp (fields[0], "0") == 0 && fields[1][0] == '\0')
      limit = MIN (limit, afp_memory_read_group (root, "/sys/fs/cgroup", fields[2], "memory.max"));
    else if (g_strv_contains ((const char *const *) controllers, "memory"))
      limit = MIN (limit, afp_memory_read_group (root, "/sys/fs/cgroup/memory", fields[2],
                                                 "memory.limit_in_bytes"));
  }
  return limit == G_MAXUINT64 ? 0 : limit;
}

guint64
afp_memory_get_default_budget (void)
{
  guint64 limit = afp_memory_get_limit ("");

  return limit ? MAX (limit / 5 * 4, 1) : AFP_MEMORY_UNKNOWN;
}

guint64
afp_memory_get_rss (void)
{
  g_autofree char *text = afp_memory_read ("", "/proc/self/statm");
  guint64 pages = 0;

  if (!text || sscanf (text, "%*u %" G_GUINT64_FORMAT, &pages) != 1)
    return 0;
  return pages * (guint64) sysconf (_SC_PAGESIZE);
}

guint64
afp_memory_get_base (guint n_threads, guint64 n_records)
{
  return afp_memory_get_rss () + AFP_MEMORY_LATER + n_threads * AFP_MEMORY_THREAD +
         n_records * AFP_MEMORY_RECORD;
}

guint64
afp_memory_get_peak_rss (void)
{
  struct rusage usage;

  if (getrusage (RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0)
    return 0;
  return (guint64) usage.ru_maxrss * 1024;
}
