/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* Encode, decode, compare: the numbers, the bytes, the tree. */

#define TRIAL(c, trial)             \
  const ConformTrial *trial = data; \
  g_autoptr (AfpTensor) input = conform_input_make (trial->input, (c)->target->quick)

/* Where two runs of floats differ in their bits, or @n. */
static gsize
first_difference (const float *a, const float *b, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (memcmp (a + i, b + i, sizeof *a) != 0)
      return i;
  return n;
}

static gboolean
expect_same_floats (ConformCase *c, GBytes *a, GBytes *b, const char *expected)
{
  gsize n, m;
  const float *x = g_bytes_get_data (a, &n), *y = g_bytes_get_data (b, &m);

  if (n != m)
    return conform_expect (c, FALSE, expected,
                           "%" G_GSIZE_FORMAT " bytes of numbers and %" G_GSIZE_FORMAT, n, m);
  const gsize place = first_difference (x, y, n / sizeof *x);
  return conform_expect (c, place == n / sizeof *x, expected,
                         "number %" G_GSIZE_FORMAT " is %.9g in one and %.9g in the other", place,
                         place < n / sizeof *x ? (double) x[place] : 0,
                         place < n / sizeof *x ? (double) y[place] : 0);
}

/* The trial's tensor, encoded; FALSE: the case is at its end (the check is closed). */
static gboolean
encode (ConformCase *c, const ConformTrial *trial, AfpTensor *input, guint threads,
        ConformResult *result, gboolean *forced)
{
  g_autoptr (GError) error = NULL;

  conform_begin (c, "encode");
  if (!conform_run_any (c->target, trial->config, input, threads, result, forced, &error)) {
    const gboolean refused = g_error_matches (error, AFP_ERROR, AFP_ERROR_PLAN) ||
                             g_error_matches (error, AFP_ERROR, AFP_ERROR_PROPERTY) ||
                             g_error_matches (error, AFP_ERROR, AFP_ERROR_MEMORY);
    if (trial->may_refuse && refused && *error->message)
      conform_pass (c);
    else
      conform_fail (
          c, trial->may_refuse ? "a coded tensor, or a refusal by the plan" : "a coded tensor",
          "%s", error->message);
    return FALSE;
  }
  if (result->taken) {
    conform_pass (c);
    return TRUE;
  }
  if (result->why && *result->why)
    conform_skip (c, "left alone: %s", result->why);
  else
    conform_fail (c, "the tensor to be taken, or the reason in the plan",
                  "it was left alone without a word");
  return FALSE;
}

/* Who sets a property to its bound may get a poor codec, but no nonsense. */
#define AT_BOUNDS 4

static void
check_values (ConformCase *c, AfpTensor *input, GBytes *decoded, double most)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) original = conform_decode_tensor (input, 1, &error);
  gsize size, expected_size;
  double wrong = 0, energy = 0;

  conform_begin (c, "shape");
  const float *x = g_bytes_get_data (original, &expected_size),
              *y = g_bytes_get_data (decoded, &size);
  if (!conform_expect (c, size == expected_size, "as many numbers as went in",
                       "%" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT, size / sizeof *x,
                       expected_size / sizeof *x))
    return;
  conform_begin (c, "finite numbers");
  for (gsize i = 0; i < size / sizeof *x; i++) {
    if (!isfinite (y[i])) {
      conform_fail (c, "finite numbers", "number %" G_GSIZE_FORMAT " of %.9g became %.9g", i,
                    (double) x[i], (double) y[i]);
      return;
    }
    wrong += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
    energy += (double) x[i] * x[i];
  }
  conform_pass (c);
  conform_begin (c, "error");
  if (most == INFINITY)
    conform_skip (c, "the plane was taken by force only");
  else
    conform_expect (c, wrong <= energy * most * (1 + 1e-6),
                    most > 1 ? "no error far above that of zeros"
                             : "no larger error than that of zeros",
                    "squared error %.6g, squared numbers %.6g", wrong, energy);
}

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

static void
check_bytes (ConformCase *c, const ConformResult *result)
{
  conform_begin (c, "bytes planned");
  if (result->exact)
    conform_expect (c, result->stored == result->planned, "the bytes that the plan gave as exact",
                    "%" G_GUINT64_FORMAT " bytes, planned %" G_GUINT64_FORMAT, result->stored,
                    result->planned);
  else
    conform_expect (
        c, result->stored <= result->planned, "no more bytes than the bound of the plan",
        "%" G_GUINT64_FORMAT " bytes, bound %" G_GUINT64_FORMAT, result->stored, result->planned);
}

/* What the leaves under a plane cost, by the rules of claims. */
static guint64
leaves_cost (AfpPlane *root)
{
  g_autoptr (GPtrArray) data = conform_leaf_data (root);
  guint64 sum = 0;

  for (guint i = 0; i < data->len; i++) {
    const guint64 bytes = g_bytes_get_size (data->pdata[i]), align = afp_size_align (bytes);
    sum += (bytes + align - 1) / align * align + AFP_PLANE_ROW_BYTES;
  }
  return sum;
}

/* The claim of the chain on the tensor's plane: (transfer full), or NULL. */
static AfpClaim *
query (const ConformTarget *target, const char *config, AfpTensor *input, AfpPipeline **pipeline)
{
  g_autofree char *all = conform_config (target, config, TRUE);
  AfpPlane *root = afp_tensor_get_root (input);

  conform_chain_set_input (input);
  *pipeline = conform_pipeline_new (target, all, NULL);
  if (!*pipeline || !afp_pipeline_plan (*pipeline, NULL))
    return NULL;
  AfpElement *source = afp_pipeline_get_elements (*pipeline)->pdata[0];
  return afp_pad_query_claim (afp_element_get_pad (source, AFP_PAD_SRC, 0),
                              afp_tensor_get_spec (input), "weight", afp_plane_get_desc (root));
}

static gboolean
same_desc (const AfpPlaneDesc *a, const AfpPlaneDesc *b)
{
  return a->name == b->name && a->kind == b->kind && a->scope == b->scope && a->rows == b->rows &&
         a->cols == b->cols && a->bits == b->bits && a->vector == b->vector;
}

/* describe() is a pure function, and the tree is what it says. */
static void
check_layout (ConformCase *c, AfpClaim *claim, AfpPlane *root)
{
  const AfpLayout *layout = afp_claim_get_layout (claim);
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpLayout) again =
      afp_codec_describe (afp_claim_get_codec (claim), afp_layout_get_input (layout), &error);
  const guint n = afp_layout_get_n_children (layout);

  conform_begin (c, "layout");
  if (!again) {
    conform_fail (c, "describe() to say the same twice", "%s", error->message);
    return;
  }
  if (n != afp_layout_get_n_children (again) || n != afp_plane_get_n_children (root)) {
    conform_fail (c, "as many planes as described", "%u, then %u described, %u in the tree", n,
                  afp_layout_get_n_children (again), afp_plane_get_n_children (root));
    return;
  }
  for (guint i = 0; i < n; i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    const AfpPlaneDesc *actual = afp_plane_get_desc (afp_plane_get_child (root, i));
    const AfpPlaneDesc *other = afp_layout_get_child (again, i);
    if (same_desc (desc, other) && same_desc (desc, actual))
      continue;
    conform_fail (c, "planes as described",
                  "plane '%s' of %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT
                  " in %u bits, then described as %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT
                  " in %u bits, in the tree %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT " in %u bits",
                  desc->name, desc->rows, desc->cols, desc->bits, other->rows, other->cols,
                  other->bits, actual->rows, actual->cols, actual->bits);
    return;
  }
  conform_pass (c);
}

static void
check_claim (ConformCase *c, const ConformTrial *trial, AfpTensor *input, AfpPlane *root)
{
  g_autoptr (AfpPipeline) pipeline = NULL;
  g_autoptr (AfpClaim) claim = query (c->target, trial->config, input, &pipeline);
  gboolean exact = FALSE;

  conform_begin (c, "claim");
  if (!claim) {
    conform_fail (c, "an answer to the query about a plane that the codec takes", "no answer");
    return;
  }
  const guint64 bytes = afp_claim_get_bytes (claim, &exact), cost = leaves_cost (root);
  conform_expect (c, exact ? cost == bytes : cost <= bytes,
                  exact ? "the bytes of the claim" : "no more bytes than the claim's bound",
                  "%" G_GUINT64_FORMAT " bytes, claimed %" G_GUINT64_FORMAT, cost, bytes);
  check_layout (c, claim, root);
}

/* --- the tree again -------------------------------------------------------------------------------------------------- */

static void
check_rebuilt (ConformCase *c, AfpTensor *tensor, GBytes *decoded)
{
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  g_autoptr (GPtrArray) data = conform_leaf_data (afp_tensor_get_root (tensor));
  g_autoptr (GError) error = NULL;

  conform_begin (c, "from recipe and bytes");
  g_autoptr (AfpPlane) rebuilt =
      conform_rebuild (recipe, afp_tensor_get_spec (tensor), data, &error);
  g_autoptr (GBytes) again =
      rebuilt ? conform_decode (rebuilt, afp_tensor_get_spec (tensor), 1, &error) : NULL;
  if (again)
    expect_same_floats (c, decoded, again, "the numbers of the tree in memory");
  else
    conform_fail (c, "the numbers of the tree in memory", "%s (recipe %s)", error->message, recipe);
}

/* Rectangles read alone are those of the whole. */
static void
check_rectangles (ConformCase *c, AfpTensor *tensor, GBytes *decoded)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);

  conform_begin (c, "rectangles");
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), &error);
  if (!matrix) {
    conform_fail (c, "a tree that opens", "%s", error->message);
    return;
  }
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
  const float *whole = g_bytes_get_data (decoded, NULL);
  for (guint i = 0; i < 24; i++) {
    const guint64 row = (guint64) (g_rand_double (rand) * (double) rows),
                  col = (guint64) (g_rand_double (rand) * (double) cols);
    const guint64 n_rows = 1 + (guint64) (g_rand_double (rand) * (double) MIN (rows - row, 40)),
                  n_cols = 1 + (guint64) (g_rand_double (rand) * (double) MIN (cols - col, 700));
    const guint64 height = MIN (n_rows, rows - row), width = MIN (n_cols, cols - col);
    g_autofree float *part = g_new (float, height *width);
    if (!afp_matrix_read (matrix, row, height, col, width, part, &error)) {
      conform_fail (c, "a rectangle that can be read", "%s", error->message);
      return;
    }
    for (guint64 r = 0; r < height; r++)
      if (memcmp (part + r * width, whole + (row + r) * cols + col, width * sizeof *part) != 0) {
        conform_fail (c, "the numbers of the whole",
                      "others in the rectangle of %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT
                      " at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT,
                      height, width, row, col);
        return;
      }
  }
  conform_pass (c);
}

/* --- the cases ------------------------------------------------------------------------------------------------------- */

void
conform_check_round_trip (ConformCase *c, gconstpointer data)
{
  TRIAL (c, trial);
  g_auto (ConformResult) result = { 0 };
  g_autoptr (GError) error = NULL;
  gboolean forced = FALSE;

  if (!encode (c, trial, input, 2, &result, &forced))
    return;
  check_bytes (c, &result);
  if (!c->target->packer)
    check_claim (c, trial, input, afp_tensor_get_root (result.tensor));
  conform_begin (c, "decode");
  g_autoptr (GBytes) decoded = conform_decode_tensor (result.tensor, 1, &error);
  if (!conform_expect (c, decoded != NULL, "numbers", "%s", error ? error->message : ""))
    return;
  check_values (c, input, decoded, forced ? INFINITY : trial->may_refuse ? AT_BOUNDS : 1);
  check_rebuilt (c, result.tensor, decoded);
  check_rectangles (c, result.tensor, decoded);
}

/* The same bytes for any number of threads and every time; the same numbers for any number of threads. */
void
conform_check_threads (ConformCase *c, gconstpointer data)
{
  static const guint counts[] = { 1, 1, 2, 5 };
  TRIAL (c, trial);
  g_autofree char *first = NULL;
  g_autoptr (GBytes) numbers = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++) {
    g_auto (ConformResult) result = { 0 };
    g_autoptr (GError) error = NULL;
    g_autofree char *encoding =
        g_strdup_printf (i == 1 ? "encode again" : "encode with -j%u", counts[i]);
    g_autofree char *decoding =
        g_strdup_printf (i == 1 ? "decode again" : "decode with -j%u", counts[i]);
    if (!encode (c, trial, input, counts[i], &result, NULL))
      return;
    conform_begin (c, encoding);
    g_autofree char *sum = conform_fingerprint (result.tensor);
    conform_expect (c, !first || g_str_equal (first, sum), "the bytes of the first time",
                    "other bytes: SHA-256 %.12s and %.12s", first ? first : "", sum);
    if (!first)
      first = g_steal_pointer (&sum);
    conform_begin (c, decoding);
    g_autoptr (GBytes) decoded = conform_decode_tensor (result.tensor, counts[i], &error);
    if (!decoded) {
      conform_fail (c, "numbers", "%s", error->message);
      return;
    }
    if (!numbers) {
      conform_pass (c);
      numbers = g_steal_pointer (&decoded);
    } else
      expect_same_floats (c, numbers, decoded, "the numbers of the first time");
  }
}

static GBytes *
run_file (const ConformTarget *target, const char *chain, AfpTensor *input, gboolean keep,
          GError **error)
{
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (chain, error);

  conform_chain_set_input (input);
  if (!pipeline || !afp_pipeline_run (pipeline, error))
    return NULL;
  return keep ? conform_decode_tensor (conform_chain_get_output (), 1, error)
              : g_bytes_new_static ("", 0);
}

/* Written and read: the same numbers as in memory. */
void
conform_check_file (ConformCase *c, gconstpointer data)
{
  TRIAL (c, trial);
  AfpRegistry *registry = afp_registry_get_default ();
  g_auto (ConformResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  conform_begin (c, "file");
  if (!afp_registry_find (registry, "write") || !afp_registry_find (registry, "load")) {
    conform_skip (c, "there are no elements load and write");
    return;
  }
  conform_pass (c);
  if (!encode (c, trial, input, 2, &result, NULL))
    return;
  conform_begin (c, "written and read");
  g_autofree char *folder = g_dir_make_tmp ("afpipe-conform-XXXXXX", &error);
  g_autofree char *path = folder ? g_build_filename (folder, "model.h5", NULL) : NULL;
  g_autofree char *config = conform_config (c->target, trial->config, TRUE);
  g_autofree char *to = g_strdup_printf ("conform-source ! %s%s %s ! write location=\"%s\"",
                                         c->target->prefix, c->target->element, config, path);
  g_autofree char *from = g_strdup_printf ("load location=\"%s\" ! conform-sink", path);
  g_autoptr (GBytes) memory = folder ? conform_decode_tensor (result.tensor, 1, &error) : NULL;
  g_autoptr (GBytes) written = memory ? run_file (c->target, to, input, FALSE, &error) : NULL;
  g_autoptr (GBytes) read = written ? run_file (c->target, from, input, TRUE, &error) : NULL;
  if (read)
    expect_same_floats (c, memory, read, "the numbers of the tree in memory");
  else
    conform_fail (c, "a file that can be read", "%s", error->message);
  if (path)
    g_unlink (path);
  if (folder)
    g_rmdir (folder);
}
