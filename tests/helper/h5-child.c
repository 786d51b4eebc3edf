/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in for the helper that reads HDF5: what test-h5-child asks of it. */
#include "io/h5-child.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The request, and behind it the data. */
static GBytes *
give_back (GBytes *request, GBytes *data, GError **error)
{
  GByteArray *all = g_byte_array_new ();

  g_byte_array_append (all, g_bytes_get_data (request, NULL), (guint) g_bytes_get_size (request));
  g_byte_array_append (all, g_bytes_get_data (data, NULL), (guint) g_bytes_get_size (data));
  return g_byte_array_free_to_bytes (all);
}

static GBytes *
open_h5 (GBytes *request, GBytes *data, GError **error)
{
  H5Fopen (g_bytes_get_data (request, NULL), H5F_ACC_RDONLY, H5P_DEFAULT);
  g_autofree char *why = afp_h5_last_error ();

  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "in the child: %s", why);
  return NULL;
}

static GBytes *
odd_error (GBytes *request, GBytes *data, GError **error)
{
  g_set_error_literal (error, G_FILE_ERROR, 4711, "odd \xff");
  return NULL;
}

static int
get_number (GBytes *request)
{
  int number = 0;

  memcpy (&number, g_bytes_get_data (request, NULL), sizeof number);
  return number;
}

static GBytes *
die (GBytes *request, GBytes *data, GError **error)
{
  signal (get_number (request), SIG_DFL); /* a sanitizer would catch it */
  raise (get_number (request));
  return NULL;
}

static GBytes *
quit (GBytes *request, GBytes *data, GError **error)
{
  _exit (0);
}

static GBytes *
hang (GBytes *request, GBytes *data, GError **error)
{
  const gboolean sleeping = get_number (request) != 0;

  for (volatile gboolean go_on = TRUE; go_on;)
    if (sleeping)
      sleep (1);
  return NULL;
}

static GBytes *
take_memory (GBytes *request, GBytes *data, GError **error)
{
  g_autofree guint8 *memory = g_try_malloc ((gsize) 512 << 20);

  if (memory)
    return g_bytes_new_static ("taken", 5);
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_MEMORY, "no memory in the child");
  return NULL;
}

static const AfpH5Op ops[] = {
  { "give-back", give_back },
  { "open-h5", open_h5 },
  { "odd-error", odd_error },
  { "die", die },
  { "quit", quit },
  { "hang", hang },
  { "take-memory", take_memory },
  { NULL, NULL },
};

int
main (void)
{
  return afp_h5_serve (STDIN_FILENO, ops);
}
