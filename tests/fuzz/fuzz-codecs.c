/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "afp-codec-private.h"

#include <string.h>

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* --- a tensor's description --------------------------------------------------------------------------------------- */

/* "f32 24x36 in:1": NULL if it is no such thing. */
static AfpSpec *
make_spec (const char *dtype_text, const char *shape_text, const char *view_text)
{
  g_auto (GStrv) axes = g_strsplit (shape_text, "x", AFP_MAX_RANK + 1);
  const guint rank = g_strv_length (axes);
  guint64 shape[AFP_MAX_RANK], n, n_bytes;
  AfpDType dtype;
  AfpView view;

  if (!afp_dtype_parse (dtype_text, &dtype) || rank > AFP_MAX_RANK)
    return NULL;
  for (guint i = 0; i < rank; i++)
    shape[i] = g_ascii_strtoull (axes[i], NULL, 10);
  if (!afp_shape_count_dtype (dtype, rank, shape, &n, &n_bytes))
    return NULL;
  return afp_spec_new ("t", dtype, rank, shape,
                       afp_view_parse (view_text, rank, &view) ? &view : NULL, NULL);
}

/* --- recipe and planes -------------------------------------------------------------------------------------------- */

/*
 * DTYPE SHAPE VIEW MODE SIZES...
 * RECIPE
 * bytes of the planes, one behind the other
 *
 * MODE exact: plane i has SIZES[i] bytes, as a file would say; fill: as many as its codec wants, the bytes over and over again.
 */
#define MAX_FILL (1u << 20)

typedef struct {
  char **words;
  const guint8 *at, *begin, *end;
} Planes;

static GBytes *
give_plane (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
            GError **error)
{
  Planes *planes = user_data;
  const guint n_words = g_strv_length (planes->words);
  const guint64 wanted = afp_plane_desc_bytes (desc);
  const guint64 left = (guint64) (planes->end - planes->at);

  if (n_words <= 3 || strcmp (planes->words[3], "fill") != 0 || desc->kind != AFP_KIND_CODE ||
      desc->bound) {
    const guint64 size =
        leaf + 4 < n_words ? g_ascii_strtoull (planes->words[leaf + 4], NULL, 10) : left;
    GBytes *bytes = g_bytes_new (planes->at, MIN (size, left));
    planes->at += MIN (size, left);
    return bytes;
  }
  const guint64 n_source = (guint64) (planes->end - planes->begin);
  if (wanted > MAX_FILL) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "too large to be filled");
    return NULL;
  }
  guint8 *data = g_malloc0 (wanted + 1);
  for (guint64 i = 0; n_source > 0 && i < wanted; i++)
    data[i] = planes->begin[(leaf * 97 + i) % n_source];
  return g_bytes_new_take (data, wanted);
}

static void
run_decode (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autofree char *head = fuzz_line (&at, end), *recipe = fuzz_line (&at, end);
  GError *error = NULL;

  if (!head || !recipe)
    return;
  g_auto (GStrv) words = g_strsplit (head, " ", 64);
  if (g_strv_length (words) < 4)
    return;
  g_autoptr (AfpSpec) spec = make_spec (words[0], words[1], words[2]);
  if (!spec)
    return;
  Planes planes = { words, at, at, end };
  g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, give_plane, &planes, &error);
  if (!root) {
    fuzz_check_error (&error);
    return;
  }
  g_autoptr (AfpTensor) whole = afp_tensor_new (spec, root);
  fuzz_decode_tensor (whole);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (root);
  g_autoptr (AfpTensor) reopened = afp_tensor_new (spec, open);
  fuzz_decode_tensor (reopened);
}

const FuzzRecord fuzz_decode = { "decode",      "planes of every codec, with their recipe",
                                 run_decode,    NULL,
                                 32 * MEGABYTE, 2048 };

/* --- recipe text -------------------------------------------------------------------------------------------------- */

static void
run_recipe (const guint8 *bytes, gsize n)
{
  static const char *const specs[][3] = { { "F32", "24x36", "in:1" },
                                          { "BF16", "3x3x8x16", "in:3" },
                                          { "F32", "1048576x1048576", "in:1" } };
  g_autofree char *recipe = g_strndup ((const char *) bytes, n);
  const guint leaves = afp_recipe_count_leaves (recipe);
  g_auto (GStrv) codecs = afp_recipe_list_codecs (recipe);

  for (guint i = 0; i < G_N_ELEMENTS (specs); i++) {
    g_autoptr (AfpSpec) spec = make_spec (specs[i][0], specs[i][1], specs[i][2]);
    GError *error = NULL;
    g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, NULL, NULL, &error);
    if (!root) {
      fuzz_check_error (&error);
      continue;
    }
    if (leaves == G_MAXUINT || leaves > 4096 || g_strv_length (codecs) > 4096)
      fuzz_fail ("a recipe that cannot be counted was built");
    g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, root);
    g_autofree char *text = afp_tensor_get_recipe (tensor);
    g_autoptr (AfpPlane) again = afp_recipe_build (text, spec, NULL, NULL, &error);
    if (!again)
      fuzz_fail ("recipe '%.80s' does not parse: %.80s", text, error->message);
    AfpSize size;
    afp_tensor_get_size (tensor, &size);
  }
}

const FuzzRecord fuzz_recipe = { "recipe", "recipe text", run_recipe, NULL, 4 * MEGABYTE, 1024 };

/* --- parameters --------------------------------------------------------------------------------------------------- */

/* What the layout says of itself makes the same layout again. */
static void
check_layout (AfpElement *element, const AfpLayout *layout, const AfpPlaneDesc *desc)
{
  g_autofree char *params = afp_layout_get_params (layout);
  g_autoptr (AfpElement) twin = g_object_new (G_OBJECT_TYPE (element), NULL);
  GError *error = NULL;

  afp_element_set_factory_name (twin, afp_element_get_factory_name (element));
  if (*params && !afp_element_set_properties_text (twin, params, &error))
    fuzz_fail ("parameters '%.80s' are refused: %.80s", params, error->message);
  g_autoptr (AfpLayout) again = afp_codec_describe (AFP_CODEC (twin), desc, &error);
  if (!again)
    fuzz_fail ("a layout with '%.80s' is refused: %.80s", params, error->message);
  const guint n = afp_layout_get_n_children (layout);
  if (afp_layout_get_n_children (again) != n)
    fuzz_fail ("'%.80s' makes another layout", params);
  for (guint i = 0; i < n; i++) {
    const AfpPlaneDesc *a = afp_layout_get_child (layout, i), *b = afp_layout_get_child (again, i);
    if (a->rows != b->rows || a->cols != b->cols || a->bits != b->bits)
      fuzz_fail ("'%.80s' makes another plane '%s'", params, a->name);
    if (!afp_plane_desc_is_float (a))
      continue;
    g_autoptr (AfpClaim) claim = afp_claim_new_fallback (a, &error);
    if (!claim)
      fuzz_check_error (&error);
    else
      afp_claim_get_bytes (claim, NULL);
  }
}

/* ELEMENT ROWSxCOLS KIND VECTOR PARAMETERS */
static void
run_params (const guint8 *bytes, gsize n)
{
  g_autofree char *text = g_strndup ((const char *) bytes, n);
  g_auto (GStrv) words = g_strsplit (text, " ", 5);
  guint64 rows, cols;
  GError *error = NULL;

  if (g_strv_length (words) < 5 || !g_utf8_validate (text, -1, NULL)) /* the parser sees to that */
    return;
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), words[0], &error);
  if (!element || !afp_element_set_properties_text (element, words[4], &error) ||
      (AFP_ELEMENT_GET_CLASS (element)->check &&
       !AFP_ELEMENT_GET_CLASS (element)->check (element, &error))) {
    fuzz_check_error (&error);
    return;
  }
  char *x = strchr (words[1], 'x');
  rows = g_ascii_strtoull (words[1], NULL, 10);
  cols = x ? g_ascii_strtoull (x + 1, NULL, 10) : 1;
  if (!AFP_IS_CODEC (element) || rows > G_MAXINT64 || cols > G_MAXINT64)
    return;
  const AfpPlaneDesc desc = { .name = "weight",
                              .kind = (AfpPlaneKind) (g_ascii_strtoull (words[2], NULL, 10) %
                                                      AFP_KIND_CODE),
                              .rows = rows,
                              .cols = cols,
                              .vector = (guint) (g_ascii_strtoull (words[3], NULL, 10) % 4097),
                              .optional = TRUE,
                              .fallback = "f16" };
  if (desc.vector > 0 && cols % desc.vector != 0)
    return;
  g_autoptr (AfpLayout) layout = afp_codec_describe (AFP_CODEC (element), &desc, &error);
  if (!layout)
    fuzz_check_error (&error);
  else
    check_layout (element, layout, &desc);
}

const FuzzRecord fuzz_params = {
  "params",     "parameters of elements, and what a codec makes of them",
  run_params,   NULL,
  4 * MEGABYTE, 1024
};
