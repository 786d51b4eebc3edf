/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two threads count together: "locked" or not. So that it is known that ThreadSanitizer sees races here, and sees locks. */
#include <glib.h>
#include <string.h>

static GMutex mutex;
static gboolean locked;
static guint64 total;

static gpointer
count (gpointer data)
{
  for (guint i = 0; i < 1000; i++) {
    if (locked)
      g_mutex_lock (&mutex);
    total += i;
    if (locked)
      g_mutex_unlock (&mutex);
  }
  return NULL;
}

int
main (int argc, char **argv)
{
  locked = argc > 1 && strcmp (argv[1], "locked") == 0;
  GThread *a = g_thread_new ("a", count, NULL), *b = g_thread_new ("b", count, NULL);
  g_thread_join (a);
  g_thread_join (b);
  return total == 0;
}
