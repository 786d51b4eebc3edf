/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of files, for tests: through `load`. */
#pragma once

#include "io-test.h"

#include "afp-net-score.h"

typedef struct {
  AfpElement *load;
  GHashTable *tensors; /* name -> AfpTensor */
  const char *missing, *failing;
  guint n_opened;
} NetTest;

static inline void
net_test_free (NetTest *test)
{
  g_hash_table_unref (test->tensors);
  g_clear_object (&test->load);
  g_free (test);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NetTest, net_test_free)

static inline NetTest *
net_test_new (const char *path)
{
  NetTest *test = g_new0 (NetTest, 1);
  GError *error = NULL;

  test->tensors =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_tensor_unref);
  test->load = afp_registry_make (afp_registry_get_default (), "load", NULL);
  ck_assert (afp_element_set_property_text (test->load, "location", path, NULL));
  ck_assert_msg (afp_source_open (AFP_SOURCE (test->load), &error), "%s",
                 error ? error->message : "");
  for (gsize i = 0; i < afp_source_get_n_tensors (AFP_SOURCE (test->load)); i++) {
    AfpTensor *tensor = afp_source_read_tensor (AFP_SOURCE (test->load), i, NULL);
    ck_assert_ptr_nonnull (tensor);
    g_hash_table_insert (test->tensors, g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                         tensor);
  }
  return test;
}

/* A file of the project, or, with @shared, of the shared data; NULL: it is not here. */
static inline char *
net_test_path (gboolean shared, const char *name)
{
  const char *folder = g_getenv (shared ? "AFP_TEST_SHARED" : "AFP_TEST_SRCDIR");

  if (folder && *folder)
    return g_build_filename (folder, shared ? "data" : ".", name, NULL);
  g_print ("# '%s' is not here: not tested\n", name);
  return NULL;
}

/* An AfpLmOpen. */
static inline AfpMatrix *
net_test_open (gpointer user_data, const char *name, GError **error)
{
  NetTest *test = user_data;
  AfpTensor *tensor = g_hash_table_lookup (test->tensors, name);

  if (g_strcmp0 (name, test->failing) == 0)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s: gone", name);
  if (!tensor || g_strcmp0 (name, test->missing) == 0 || g_strcmp0 (name, test->failing) == 0)
    return NULL;
  test->n_opened++;
  return afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), error);
}

/* The network that belongs to the tensors. */
static inline AfpNet *
net_test_net (NetTest *test, GError **error)
{
  return afp_net_find (test->load, net_test_open, test, error);
}

/* Array @name of an archive as images, without labels. */
static inline AfpImages *
net_test_images (NetTest *test, const char *name)
{
  AfpTensor *tensor = g_hash_table_lookup (test->tensors, name);
  ck_assert_ptr_nonnull (tensor);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const guint64 *shape = afp_spec_get_shape (spec);
  AfpImages *images = g_new0 (AfpImages, 1);

  images->n = shape[0];
  images->height = (guint) shape[1];
  images->width = (guint) shape[2];
  images->channels = afp_spec_get_rank (spec) == 4 ? (guint) shape[3] : 1;
  images->dtype = afp_spec_get_dtype (spec);
  images->pixels = g_bytes_ref (afp_plane_get_data (afp_tensor_get_root (tensor)));
  images->labels = g_new0 (guint32, images->n);
  return images;
}

static const AfpNetOptions net_test_plain = { 1, 0 };
