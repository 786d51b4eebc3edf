/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-spill.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

struct _EvalSpill {
  int file;
  guint64 size;
  GBytes *mapped; /* the file as long as it was; may be NULL */
};

const char *
eval_temporary_folder (void)
{
  const char *folder = g_getenv ("TMPDIR");

  return folder && *folder ? folder : "/var/tmp";
}

static gboolean
fail (const char *does, int code, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
               "cannot %s a temporary file in '%s': %s; TMPDIR says in which folder, and a larger "
               "--max-mem may do without",
               does, eval_temporary_folder (), g_strerror (code));
  return FALSE;
}

EvalSpill *
eval_spill_new (GError **error)
{
  g_autofree char *path = g_build_filename (eval_temporary_folder (), "afpipe-eval-XXXXXX", NULL);
  const int file = g_mkstemp (path);

  if (file < 0) {
    fail ("make", errno, error);
    return NULL;
  }
  g_unlink (path);
  EvalSpill *spill = g_new0 (EvalSpill, 1);
  spill->file = file;
  return spill;
}

void
eval_spill_free (EvalSpill *spill)
{
  close (spill->file);
  g_clear_pointer (&spill->mapped, g_bytes_unref);
  g_free (spill);
}

guint64
eval_spill_get_size (const EvalSpill *spill)
{
  return spill->size;
}

gboolean
eval_spill_replace (EvalSpill *spill, const EvalPlace *place, gconstpointer data, GError **error)
{
  for (guint64 done = 0; done < place->size;) {
    const ssize_t n = pwrite (spill->file, (const char *) data + done, place->size - done,
                              (off_t) (place->offset + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail ("write into", errno, error);
    done += (guint64) n;
  }
  return TRUE;
}

gboolean
eval_spill_append (EvalSpill *spill, gconstpointer data, gsize n, EvalPlace *place, GError **error)
{
  place->offset = (spill->size + AFP_ALIGN_LARGE - 1) / AFP_ALIGN_LARGE * AFP_ALIGN_LARGE;
  place->size = n;
  spill->size = place->offset + n;
  return eval_spill_replace (spill, place, data, error);
}

gboolean
eval_spill_read (EvalSpill *spill, const EvalPlace *place, gpointer data, GError **error)
{
  for (guint64 done = 0; done < place->size;) {
    const ssize_t n = pread (spill->file, (char *) data + done, place->size - done,
                             (off_t) (place->offset + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return fail ("read", n < 0 ? errno : EIO, error);
    done += (guint64) n;
  }
  return TRUE;
}

GBytes *
eval_spill_map (EvalSpill *spill, const EvalPlace *place, GError **error)
{
  if (place->size == 0)
    return g_bytes_new_static ("", 0);
  if (!spill->mapped || g_bytes_get_size (spill->mapped) < place->offset + place->size) {
    g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", spill->file);
    g_clear_pointer (&spill->mapped, g_bytes_unref);
    spill->mapped = afp_mapped_new (path, error);
  }
  return spill->mapped ? g_bytes_new_from_bytes (spill->mapped, place->offset, place->size) : NULL;
}
