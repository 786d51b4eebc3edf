/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* The start of a file; numbers as the machine has them, which @magic says, too. */
typedef struct {
  guint64 magic;
  guint32 version, seed_bits, leap, block_size, rank;
  guint32 n_coarse, n_fine, place_bytes;
  guint64 length;
  double tilt, gain;
  guint64 checksum; /* of what follows */
} Header;

#define MAGIC G_GUINT64_CONSTANT (0x5354534c4d4c4453)

static Header
make_header (const SeedlmLists *lists)
{
  const SeedlmBasis *basis = lists->basis;

  return (Header){ .magic = MAGIC,
                   .version = SEEDLM_LISTS_VERSION,
                   .seed_bits = basis->sequence->seed_bits,
                   .leap = basis->sequence->leap,
                   .block_size = basis->block_size,
                   .rank = basis->rank,
                   .n_coarse = lists->shape.n_coarse,
                   .n_fine = lists->shape.n_fine,
                   .place_bytes = lists->shape.place_bytes,
                   .length = lists->shape.length,
                   .tilt = lists->tilt,
                   .gain = lists->gain };
}

/* Four sums side by side, as fast as memory. */
static guint64
checksum (guint64 sum, gconstpointer data, gsize size)
{
  const guint64 prime = G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  guint64 lanes[4] = { sum, sum + 1, sum + 2, sum + 3 };
  const guint8 *bytes = data;
  gsize at = 0;

  for (; at + 32 <= size; at += 32)
    for (guint i = 0; i < 4; i++) {
      guint64 word;
      memcpy (&word, bytes + at + 8 * i, sizeof word);
      lanes[i] = (lanes[i] ^ word) * prime;
      lanes[i] ^= lanes[i] >> 32;
    }
  for (; at < size; at++)
    lanes[at % 4] = (lanes[at % 4] ^ bytes[at]) * prime;
  for (guint i = 1; i < 4; i++)
    lanes[0] = (lanes[0] ^ lanes[i]) * prime;
  return lanes[0];
}

static guint64
checksum_lists (const SeedlmLists *lists)
{
  gsize sizes[4];

  seedlm_lists_sizes (lists, sizes);
  guint64 sum = checksum (0, &lists->tilt, sizeof lists->tilt);
  sum = checksum (sum, &lists->gain, sizeof lists->gain);
  sum = checksum (sum, lists->directions, sizes[0]);
  sum = checksum (sum, lists->places, sizes[1]);
  sum = checksum (sum, lists->bounds, sizes[2]);
  return checksum (sum, lists->records, sizes[3]);
}

char *
seedlm_lists_path (const SeedlmBasis *basis)
{
  g_autofree char *name =
      g_strdup_printf ("C%u-P%u-K%u-leap%u-v%d.lists", basis->block_size, basis->rank,
                       basis->sequence->seed_bits, basis->sequence->leap, SEEDLM_LISTS_VERSION);

  return g_build_filename (g_get_user_cache_dir (), "afpipe", "seedlm", name, NULL);
}

/* --- the cache --------------------------------------------------------------------------------------------------------- */

static gboolean
read_parts (FILE *file, SeedlmLists *lists)
{
  const Header wanted = make_header (lists);
  Header header;
  gsize sizes[4];

  seedlm_lists_sizes (lists, sizes);
  if (fread (&header, sizeof header, 1, file) != 1)
    return FALSE;
  const guint64 sum = header.checksum;
  lists->tilt = header.tilt;
  lists->gain = header.gain;
  header.checksum = 0;
  header.tilt = wanted.tilt;
  header.gain = wanted.gain;
  return memcmp (&header, &wanted, sizeof header) == 0 &&
         fread (lists->directions, 1, sizes[0], file) == sizes[0] &&
         fread (lists->places, 1, sizes[1], file) == sizes[1] &&
         fread (lists->bounds, 1, sizes[2], file) == sizes[2] &&
         fread (lists->records, 1, sizes[3], file) == sizes[3] && fgetc (file) == EOF &&
         checksum_lists (lists) == sum && seedlm_lists_take (lists);
}

/* FALSE if there is no such file, or it is damaged, which @warning says. */
static gboolean
cache_read (SeedlmLists *lists, const char *path, const char **warning)
{
  FILE *file = g_fopen (path, "rb");

  if (!file)
    return FALSE;
  const gboolean ok = read_parts (file, lists);
  fclose (file);
  if (!ok)
    *warning = "seedlm: the cached lists of directions are damaged: they are built anew";
  return ok;
}

static gboolean
write_parts (FILE *file, const SeedlmLists *lists)
{
  Header header = make_header (lists);
  gsize sizes[4];

  seedlm_lists_sizes (lists, sizes);
  header.checksum = checksum_lists (lists);
  return fwrite (&header, sizeof header, 1, file) == 1 &&
         fwrite (lists->directions, 1, sizes[0], file) == sizes[0] &&
         fwrite (lists->places, 1, sizes[1], file) == sizes[1] &&
         fwrite (lists->bounds, 1, sizes[2], file) == sizes[2] &&
         fwrite (lists->records, 1, sizes[3], file) == sizes[3];
}

/* Under another name first, so that nobody sees half a file. */
static void
cache_write (const SeedlmLists *lists, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *temporary = g_strconcat (path, ".XXXXXX", NULL);
  const int fd = g_mkdir_with_parents (folder, 0700) == 0 ? g_mkstemp (temporary) : -1;

  if (fd < 0) {
    g_info ("seedlm: no cache of lists in %s: %s", folder, g_strerror (errno));
    return;
  }
  FILE *file = fdopen (fd, "wb");
  gboolean ok = file && write_parts (file, lists);
  if (file)
    ok = fclose (file) == 0 && ok;
  else
    close (fd);
  if (!ok || g_rename (temporary, path) != 0) {
    g_info ("seedlm: %s cannot be written", path);
    g_unlink (temporary);
  }
}

/* --- building ---------------------------------------------------------------------------------------------------------- */

static gboolean
no_memory (GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
               "seedlm: no memory for lists of directions: take "
               "fewer seed-bits");
  return FALSE;
}

static gboolean
build_group (gsize index, gpointer user_data, GError **error)
{
  return seedlm_lists_build (user_data, (guint) index) || no_memory (error);
}

SeedlmLists *
seedlm_lists_load (const SeedlmBasis *basis, const SeedlmListsShape *shape, AfpPool *pool,
                   const char **warning, GError **error)
{
  g_autofree char *path = seedlm_lists_path (basis);
  SeedlmLists *lists = seedlm_lists_new (basis, shape);
  if (!lists) {
    no_memory (error);
    return NULL;
  }
  if (cache_read (lists, path, warning))
    return lists;
  if (!(seedlm_lists_train (lists) || no_memory (error)) ||
      !afp_parallel_for (pool, shape->n_coarse, build_group, lists, error)) {
    seedlm_lists_free (lists);
    return NULL;
  }
  seedlm_lists_take (lists);
  cache_write (lists, path);
  return lists;
}
