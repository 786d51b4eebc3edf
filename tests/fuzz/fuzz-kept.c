/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "eval/moment-file.h"
#include "io/afp-journal.h"

#include <math.h>
#include <string.h>

/* What afpipe keeps for itself between two runs. */

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* --- the journal of a run: the input is its lines without their checksums, which are put there ------------------------ */

#define N_PLANNED 3

/* Of the run that goes on; the first line of the seeds. */
static const char header[] =
    "{\"afpipe_journal\":2,\"tool\":\"afpipe\",\"pipeline\":\"synth ! write\",\"sink\":\"write0\","
    "\"fingerprint\":\"1\",\"plugins\":[\"io\"],\"codecs\":[\"vptq/2\"],\"files\":{}}";

/* The tensors that the run is to write: synth.0 to synth.2, 16 x 64. (transfer full) */
static GPtrArray *
make_planned (void)
{
  static const guint64 shape[] = { 16, 64 };
  GPtrArray *planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);

  for (guint i = 0; i < N_PLANNED; i++) {
    g_autofree char *name = g_strdup_printf ("synth.%u", i);
    g_ptr_array_add (planned, afp_spec_new (name, AFP_DTYPE_F32, 2, shape, NULL, NULL));
  }
  return planned;
}

/* (transfer full) */
static GByteArray *
add_checks (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  GByteArray *journal = g_byte_array_new ();
  char *line;

  while ((line = fuzz_line (&at, end))) {
    const guint32 crc32 = afp_file_crc32 (line, strlen (line));
    g_autofree char *whole = g_strdup_printf ("%s,\"check\":\"%08x\"}\n", line, crc32);
    g_byte_array_append (journal, (const guint8 *) whole, (guint) strlen (whole));
    g_free (line);
  }
  return journal;
}

static void
run_journal (const guint8 *bytes, gsize n)
{
  g_autoptr (GPtrArray) planned = make_planned ();
  g_autoptr (GByteArray) lines = add_checks (bytes, n);
  g_autofree char *path = fuzz_path ("m.h5.part.journal");
  GError *error = NULL;

  fuzz_put (path, lines->data, lines->len);
  g_autoptr (JsonNode) own = json_from_string (header, NULL);
  g_autoptr (AfpJournal) journal = afp_journal_read (path, planned, &error);
  if (!journal || (journal->header && !afp_journal_check_header (journal, own, path, &error))) {
    fuzz_check_error (&error);
    return;
  }
  if (journal->tensors->len > N_PLANNED || journal->ends->len != journal->tensors->len)
    fuzz_fail ("%u tensors, %u ends", journal->tensors->len, journal->ends->len);
  for (guint i = 0; i < journal->tensors->len; i++) {
    const AfpJournalTensor *tensor = journal->tensors->pdata[i];
    if (tensor->spec != planned->pdata[i] ||
        tensor->n_planes != afp_recipe_count_leaves (tensor->recipe))
      fuzz_fail ("tensor %u is not what was planned", i);
  }
}

const FuzzRecord fuzz_journal = { "journal",    "the journal of a run that goes on",
                                  run_journal,  NULL,
                                  4 * MEGABYTE, 256 };

/* --- a file of moments -------------------------------------------------------------------------------------------- */

static void
run_moments (const guint8 *bytes, gsize n)
{
  g_autofree char *path = fuzz_path ("m.moments");
  GHashTableIter iter;
  gpointer name, value;
  GError *error = NULL;

  fuzz_put (path, bytes, n);
  g_autoptr (GHashTable) all = moment_file_read (path, &error);
  if (!all) {
    fuzz_check_error (&error);
    return;
  }
  g_hash_table_iter_init (&iter, all);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const guint64 size = afp_moments_get_size (value);
    if (afp_moments_n_stored (size, afp_moments_is_diagonal (value)) * sizeof (float) > n)
      fuzz_fail ("%" G_GUINT64_FORMAT " inputs in %" G_GSIZE_FORMAT " bytes", size, n);
    const guint64 block = MIN (size, 64);
    g_autofree float *out = g_new (float, block *block + 1);
    afp_moments_read (value, size - block, block, out);
    afp_moments_read_diagonal (value, 0, block, out);
  }
}

const FuzzRecord fuzz_moments = { "moments",    "a file of moments, all of them read",
                                  run_moments,  NULL,
                                  4 * MEGABYTE, 64 };
