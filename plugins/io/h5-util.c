/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-util.h"

static GRecMutex h5_mutex;

/**
 * afp_h5_lock:
 *
 * Before any call to HDF5. The library keeps errors to itself from then on: see afp_h5_last_error().
 */
void
afp_h5_lock (void)
{
  g_rec_mutex_lock (&h5_mutex);
  /* The setting belongs to a thread where HDF5 was built with threads. */
  H5Eset_auto2 (H5E_DEFAULT, NULL, NULL);
}

/**
 * afp_h5_unlock:
 *
 * After the last call to HDF5.
 */
void
afp_h5_unlock (void)
{
  g_rec_mutex_unlock (&h5_mutex);
}

/* The first one in the walk has the cause; what follows is who called whom. */
static herr_t
keep_innermost (unsigned n, const H5E_error2_t *entry, void *user_data)
{
  char **text = user_data;

  if (n == 0 && entry->desc && *entry->desc)
    *text = g_utf8_make_valid (entry->desc, -1);
  return 0;
}

/**
 * afp_h5_last_error:
 *
 * Call it right after the call that failed, under the same lock.
 *
 * Returns: (transfer full): the innermost message of the error stack, which is emptied; or "unknown HDF5 error"
 */
char *
afp_h5_last_error (void)
{
  char *text = NULL;

  H5Ewalk2 (H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
  H5Eclear2 (H5E_DEFAULT);
  return text ? g_strchomp (g_strdelimit (text, "\r\n\t", ' ')) : g_strdup ("unknown HDF5 error");
}
