/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <string.h>

/* A lossless coder by itself: planes of every size, of symbols of every width, with contexts and without, come back. */

enum { ZEROS, ONES, RANDOM, SKEWED, N_CONTENTS };
static const char *const contents[N_CONTENTS] = { "zeros", "ones", "random bytes",
                                                  "bytes of which most are equal" };

/* The lowest bit of a symbol chooses the table of the next one. */
static const guint16 next_states[] = { 0, 1, 0, 1 };
static const guint8 contexts[] = { 0, 1 };
static const AfpCodeMachine machine = { 2, 2, 1, next_states, contexts };

static AfpPlaneDesc
make_desc (gsize n, guint bits, guint content)
{
  return (AfpPlaneDesc){ .name = "codes",
                         .kind = AFP_KIND_CODE,
                         .scope = AFP_SCOPE_TENSOR,
                         .rows = 1,
                         .cols = n,
                         .bits = bits,
                         .machine = content == SKEWED ? &machine : NULL };
}

/* The packed symbols of @desc; the bits behind the last one are zero. */
static GBytes *
make_bytes (const AfpPlaneDesc *desc, guint content)
{
  const gsize n = afp_plane_desc_bytes (desc);
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) n);
  guint8 *data = g_malloc (MAX (n, 1));

  for (gsize i = 0; i < n; i++)
    data[i] = content == ZEROS    ? 0
              : content == ONES   ? 0xff
              : content == RANDOM ? (guint8) g_rand_int_range (rand, 0, 256)
                                  : (guint8) (g_rand_int_range (rand, 0, 20) / 19 * 77);
  if (desc->cols * desc->bits % 8)
    data[n - 1] &= (guint8) ((1u << (desc->cols * desc->bits % 8)) - 1);
  return g_bytes_new_take (data, n);
}

/* Packed bytes that are damaged: an error, or as many bytes as there should be. */
static void
try_damaged (ConformCase *c, AfpPacker *packer, const AfpPlaneDesc *desc, GBytes *packed)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (packed, &size);

  for (guint i = 0; i < 12; i++) {
    g_autofree guint8 *copy = g_malloc (size + 1);
    g_autoptr (GError) error = NULL;
    memcpy (copy, data, size);
    const gsize length = i < 4 ? size * i / 4 : size;
    if (i >= 4 && size)
      copy[(size - 1) * (i - 4) / 7] ^= (guint8) (1u << (i % 8));
    g_autoptr (GBytes) bad = g_bytes_new (copy, length);
    g_autoptr (GBytes) out = AFP_PACKER_GET_CLASS (packer)->unpack (packer, desc, bad, &error);
    if (out ? g_bytes_get_size (out) != afp_plane_desc_bytes (desc)
            : !g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT)) {
      conform_fail (c, "AFP_ERROR_FORMAT, or the number of bytes that was asked for", "%s",
                    out     ? "another number of bytes"
                    : error ? error->message
                            : "a failure without error");
      return;
    }
  }
  conform_pass (c);
}

static gboolean
try_plane (ConformCase *c, AfpPacker *packer, gsize n, guint bits, guint content)
{
  AfpPackerClass *klass = AFP_PACKER_GET_CLASS (packer);
  const AfpPlaneDesc desc = make_desc (n, bits, content);
  const guint64 bound = klass->bound (packer, &desc);
  g_autoptr (GBytes) bytes = make_bytes (&desc, content);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) packed = klass->pack (packer, &desc, bytes, &error);
  g_autoptr (GBytes) out = packed ? klass->unpack (packer, &desc, packed, &error) : NULL;

  if (!out)
    conform_fail (c, "bytes", "%" G_GSIZE_FORMAT " symbols, %s: %s", n, contents[content],
                  error ? error->message : "a failure without error");
  else if (g_bytes_get_size (packed) > bound)
    conform_fail (c, "no more bytes than bound() says",
                  "%" G_GSIZE_FORMAT " symbols, %s: %" G_GSIZE_FORMAT
                  " bytes, bound %" G_GUINT64_FORMAT,
                  n, contents[content], g_bytes_get_size (packed), bound);
  else if (!g_bytes_equal (bytes, out))
    conform_fail (c, "the bytes that were packed", "other ones: %" G_GSIZE_FORMAT " symbols, %s", n,
                  contents[content]);
  else
    return TRUE;
  return FALSE;
}

void
conform_check_packer (ConformCase *c, gconstpointer unused)
{
  static const gsize sizes[] = { 0, 1, 2, 3, 7, 8, 63, 64, 1021, 65537 };
  static const guint widths[] = { 1, 3, 4, 7, 8, 11, 16, 31, 32 };
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), c->target->element, NULL);

  for (guint w = 0; w < G_N_ELEMENTS (widths); w++) {
    g_autofree char *check = g_strdup_printf ("symbols of %u bits", widths[w]);
    gboolean good = TRUE;
    conform_begin (c, check);
    for (guint s = 0; good && s < G_N_ELEMENTS (sizes) - c->target->quick; s++)
      for (guint content = 0; good && content < N_CONTENTS; content++)
        good = try_plane (c, AFP_PACKER (element), sizes[s], widths[w], content);
    if (!good)
      continue;
    conform_pass (c);
    g_autofree char *damage = g_strdup_printf ("symbols of %u bits, damaged", widths[w]);
    const AfpPlaneDesc desc = make_desc (1021, widths[w], SKEWED);
    g_autoptr (GBytes) bytes = make_bytes (&desc, SKEWED);
    g_autoptr (GBytes) packed =
        AFP_PACKER_GET_CLASS (element)->pack (AFP_PACKER (element), &desc, bytes, NULL);
    conform_begin (c, damage);
    try_damaged (c, AFP_PACKER (element), &desc, packed);
  }
}
