/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Old files decode for ever. tests/data/golden/CODEC[-VARIANT]-vVERSION.h5 holds planes of that version of the codec, and the file .f32
 * beside it the numbers that it stands for: all tensors one behind the other, outputs x inputs, binary32, little-endian. Decoding is
 * exact on every machine (no fused operations), so the numbers are compared bit by bit. Versions come from the registry: a
 * version without a file is a failure.
 *
 * A file is made once, when its version is new, and never again:
 *   build/afpipe-uninstalled build/tests/test-golden --make tests/data/golden NAME "CHAIN"
 */
#include "io-test.h"

#include "io/afp-file.h"

static char *folder;      /* tests/data/golden */
static GPtrArray *golden; /* of char*: names without .h5, sorted */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static GPtrArray *
list_golden (void)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".h5"))
      g_ptr_array_add (names, g_strndup (name, strlen (name) - 3));
  g_ptr_array_sort (names, compare_names);
  return names;
}

static char *
golden_path (const char *name, const char *suffix)
{
  g_autofree char *file = g_strconcat (name, suffix, NULL);

  return g_build_filename (folder, file, NULL);
}

/* Appends the numbers of a tensor and notes the codecs of its recipe. */
static gboolean
decode_tensor (AfpTensor *open, GByteArray *numbers, GHashTable *codecs, GError **error)
{
  g_autoptr (AfpTensor) tensor = afp_tensor_finalize (open, NULL, error);

  if (!tensor)
    return FALSE;
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  g_auto (GStrv) names = afp_recipe_list_codecs (recipe);
  for (guint i = 0; names[i]; i++)
    g_hash_table_add (codecs, g_strdup (names[i]));
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), error);
  g_autoptr (GBytes) dense = matrix ? afp_matrix_to_dense (matrix, NULL, error) : NULL;
  if (!dense)
    return FALSE;
  g_byte_array_append (numbers, g_bytes_get_data (dense, NULL), (guint) g_bytes_get_size (dense));
  return TRUE;
}

/* All numbers of a file; notes the codecs of its recipes ("vptq/1") in @codecs. */
static GByteArray *
decode_file (const char *path, GHashTable *codecs, GError **error)
{
  gpointer handle = open_reader (&afp_reader_afp, path, error);
  GByteArray *numbers = g_byte_array_new ();
  gboolean ok = handle != NULL;

  for (gsize i = 0; ok && i < afp_reader_afp.get_n_tensors (handle); i++) {
    g_autoptr (AfpTensor) tensor = afp_reader_afp.read_tensor (handle, i, error);
    ok = tensor && decode_tensor (tensor, numbers, codecs, error);
  }
  if (handle)
    afp_reader_afp.close (handle);
  if (!ok)
    g_clear_pointer (&numbers, g_byte_array_unref);
  return numbers;
}

static GHashTable *
codec_set (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

/* "vptq-residual-v1" -> "vptq/1"; NULL if it is no such name. */
static char *
promised_codec (const char *name)
{
  const char *version = g_strrstr (name, "-v");
  char *end = NULL;

  if (!version || g_ascii_strtoull (version + 2, &end, 10) == 0 || *end)
    return NULL;
  /* The longest codec whose name begins it: block-float has a hyphen of its own. */
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (afp_registry_get_default ());
  const char *best = NULL;
  for (guint i = 0; i < factories->len; i++) {
    const char *codec = afp_element_factory_get_name (factories->pdata[i]);
    const gsize n = strlen (codec);
    if (strncmp (name, codec, n) == 0 && name[n] == '-' && (!best || n > strlen (best)))
      best = codec;
  }
  return best ? g_strconcat (best, "/", version + 2, NULL) : NULL;
}

static guint
codec_version (AfpElementFactory *factory)
{
  const GType type = afp_element_factory_get_element_type (factory);
  g_autoptr (GTypeClass) klass = g_type_class_ref (type);

  if (g_type_is_a (type, AFP_TYPE_CODEC))
    return AFP_CODEC_CLASS (klass)->version;
  return g_type_is_a (type, AFP_TYPE_PACKER) ? AFP_PACKER_CLASS (klass)->version : 0;
}

START_TEST (every_version_has_a_file)
{
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (afp_registry_get_default ());
  g_autoptr (GHashTable) promised = codec_set ();
  guint n = 0;

  for (guint i = 0; i < golden->len; i++) {
    char *codec = promised_codec (golden->pdata[i]);
    ck_assert_msg (codec != NULL, "'%s.h5' is not called CODEC[-VARIANT]-vVERSION.h5",
                   (char *) golden->pdata[i]);
    g_hash_table_add (promised, codec);
  }
  for (guint i = 0; i < factories->len; i++) {
    const char *name = afp_element_factory_get_name (factories->pdata[i]);
    for (guint version = codec_version (factories->pdata[i]); version > 0; version--, n++) {
      g_autofree char *codec = g_strdup_printf ("%s/%u", name, version);
      ck_assert_msg (g_hash_table_contains (promised, codec),
                     "codec %s has no tests/data/golden/%s-v%u.h5: see CONTRIBUTING.md", codec,
                     name, version);
    }
  }
  ck_assert_uint_ge (n, 8);
}
END_TEST

START_TEST (all_decode_to_their_numbers)
{
  for (guint i = 0; i < golden->len; i++) {
    const char *name = golden->pdata[i];
    g_autofree char *path = golden_path (name, ".h5"), *numbers = golden_path (name, ".f32");
    g_autofree char *codec = promised_codec (name), *expected = NULL;
    g_autoptr (GHashTable) codecs = codec_set ();
    GError *error = NULL;
    g_autoptr (GByteArray) found = decode_file (path, codecs, &error);
    gsize n = 0;
    ck_assert_msg (found != NULL, "%s", error ? error->message : "?");
    ck_assert_msg (codec && g_hash_table_contains (codecs, codec), "'%s' has no planes of %s", path,
                   codec);
    ck_assert_msg (g_file_get_contents (numbers, &expected, &n, NULL), "no '%s'", numbers);
    ck_assert_uint_eq (found->len, n);
    for (gsize at = 0; at < n; at += sizeof (float)) {
      float x, y;
      memcpy (&x, found->data + at, sizeof x);
      memcpy (&y, expected + at, sizeof y);
      ck_assert_msg (memcmp (&x, &y, sizeof x) == 0, "'%s': number %zu is %.9g, not %.9g", name,
                     at / sizeof x, x, y);
    }
  }
}
END_TEST

/* A file that is cut off and one with another bit in its payload are errors, and no other numbers. */
START_TEST (damage_shows)
{
  for (guint i = 0; i < golden->len; i++) {
    g_autofree char *path = golden_path (golden->pdata[i], ".h5"), *bytes = NULL;
    g_autoptr (AfpFile) file = afp_file_read (path, NULL);
    g_autoptr (GHashTable) codecs = codec_set ();
    GError *error = NULL;
    gsize n;
    ck_assert (file && g_file_get_contents (path, &bytes, &n, NULL));
    g_autofree char *cut = put_file ("cut.h5", bytes, n - 1);
    ck_assert_ptr_null (decode_file (cut, codecs, &error));
    assert_error (error, AFP_ERROR_FORMAT, "cut.h5", "truncated file");
    bytes[file->payload_offset] ^= 1;
    g_autofree char *flipped = put_file ("flipped.h5", bytes, n);
    ck_assert_ptr_null (decode_file (flipped, codecs, &error));
    assert_error (error, AFP_ERROR_FORMAT, "flipped.h5", "is damaged", "checksum");
  }
}
END_TEST

START_TEST (odd_names_promise_nothing)
{
  static const char *const names[] = { "vptq",      "vptq-v",   "vptq-v0", "vptq-v1x",
                                       "nosuch-v1", "vptqx-v1", "v1",      "-v1" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    ck_assert_ptr_null (promised_codec (names[i]));
  assert_text (promised_codec ("vptq-residual-v2"), "vptq/2");
  assert_text (promised_codec ("block-float-v1"), "block-float/1");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("golden");
  tcase_add_test (tcase, every_version_has_a_file);
  tcase_add_test (tcase, all_decode_to_their_numbers);
  tcase_add_test (tcase, damage_shows);
  tcase_add_test (tcase, odd_names_promise_nothing);
  return tcase;
}

/* --- making one --------------------------------------------------------------------------------------------------- */

static int
make_golden (const char *where, const char *name, const char *chain)
{
  folder = g_strdup (where);
  g_autofree char *codec = promised_codec (name);
  g_autofree char *path = golden_path (name, ".h5"), *numbers = golden_path (name, ".f32");
  g_autofree char *text = g_strdup_printf (
      "synth shapes=24x36,7 distribution=student-t seed=7 ! %s ! write location=\"%s\"", chain,
      path);
  g_autoptr (GHashTable) codecs = codec_set ();
  g_autoptr (GError) error = NULL;

  if (!codec || g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_printerr ("%s: %s\n", name,
                codec ? "is there already, and must stay as it is"
                      : "give CODEC[-VARIANT]-vVERSION, of a codec that is installed");
    return EXIT_FAILURE;
  }
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  if (!pipeline || !afp_pipeline_run (pipeline, &error)) {
    g_printerr ("%s\n", error->message);
    return EXIT_FAILURE;
  }
  g_autoptr (GByteArray) found = decode_file (path, codecs, &error);
  if (!found) {
    g_printerr ("%s\n", error->message);
    return EXIT_FAILURE;
  }
  if (!g_hash_table_contains (codecs, codec)) {
    g_printerr ("%s: the chain makes no planes of %s\n", path, codec);
    g_unlink (path);
    return EXIT_FAILURE;
  }
  return g_file_set_contents (numbers, (const char *) found->data, found->len, NULL) ? EXIT_SUCCESS
                                                                                     : EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  static TCase *(*const cases[]) (void) = { all };

  if (argc == 5 && strcmp (argv[1], "--make") == 0)
    return make_golden (argv[2], argv[3], argv[4]);
  const char *source = g_getenv ("AFP_TEST_SRCDIR");
  folder = g_build_filename (source ? source : ".", "tests", "data", "golden", NULL);
  golden = list_golden ();
  const int status = run_suite ("golden", cases, G_N_ELEMENTS (cases));
  g_ptr_array_unref (golden);
  g_free (folder);
  return status;
}
