/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "fuzz.h"

#include "io/h5-child.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)
#define MAX_TENSORS 64   /* that are read of one input */
#define MAX_DENSE 65536  /* elements that are decoded at once */
#define HELPER_SECONDS 2 /* of computing, for one question */

/* --- files -------------------------------------------------------------------------------------------------------- */

static char *folder;
static pid_t folder_owner;

char *
fuzz_path (const char *name)
{
  if (!folder || folder_owner != getpid ()) {
    folder = g_dir_make_tmp ("afpipe-fuzz-XXXXXX", NULL);
    folder_owner = getpid ();
    if (!folder)
      fuzz_fail ("no folder for files");
  }
  return g_build_filename (folder, name, NULL);
}

void
fuzz_cleanup (void)
{
  if (!folder || folder_owner != getpid ())
    return;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  g_rmdir (folder);
  g_clear_pointer (&folder, g_free);
}

void
fuzz_put (const char *path, const guint8 *bytes, gsize n)
{
  const int fd = g_open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (fd < 0 || (n > 0 && write (fd, bytes, n) != (gssize) n))
    fuzz_fail ("cannot write '%s'", path);
  close (fd);
}

char *
fuzz_line (const guint8 **at, const guint8 *end)
{
  if (*at >= end)
    return NULL;
  const guint8 *newline = memchr (*at, '\n', (gsize) (end - *at));
  const guint8 *stop = newline ? newline : end;
  char *line = g_strndup ((const char *) *at, (gsize) (stop - *at));
  *at = newline ? newline + 1 : end;
  return line;
}

/* --- the helper that reads HDF5 ----------------------------------------------------------------------------------- */

/*
 * A fork of the worker, which has no threads, in place of a program: some milliseconds less. What a sanitizer says in it is kept: damage
 * that libhdf5 does to itself is why there is a helper; what our own code does is a finding.
 */
static GBytes *canned; /* what the helper is made to say */

static GBytes *
say_canned (GBytes *request, GBytes *data, GError **error)
{
  return g_bytes_ref (canned);
}

/* As many bytes as were asked for, if that is not too many. */
static GBytes *
say_zeros (GBytes *request, GBytes *data, GError **error)
{
  const GVariantType *type = G_VARIANT_TYPE ("(ayayytt)");
  g_autoptr (GVariant) variant =
      g_variant_ref_sink (g_variant_new_from_bytes (type, request, FALSE));
  guint64 n;

  g_variant_get_child (variant, 3, "t", &n);
  n = MIN (n, MEGABYTE);
  return g_bytes_new_take (g_malloc0 (n + 1), n);
}

static const AfpH5Op canned_ops[] = { { "keras-list", say_canned },
                                      { "keras-read", say_zeros },
                                      { NULL, NULL } };

static pid_t
fork_helper (int fd)
{
  static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
  const struct itimerval time = { .it_value = { HELPER_SECONDS, 0 } };
  g_autofree char *log = fuzz_path ("helper.log");

  const pid_t child = fork ();
  if (child != 0)
    return child;
  const int log_fd = g_open (log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2 (log_fd, STDERR_FILENO);
  setitimer (ITIMER_VIRTUAL, &time, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], SIG_DFL);
  afp_h5_serve (fd, canned ? canned_ops : afp_h5_ops);
  _exit (EXIT_FAILURE);
}

/* After an input: what did the sanitizer say in the last helper? */
static void
check_helper (void)
{
  g_autofree char *path = fuzz_path ("helper.log"), *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return;
  const char *found = strstr (text, "ERROR: ");
  if (!found)
    found = strstr (text, "runtime error: ");
  if (!found)
    return;
  /* The place is in the first lines of the stack. */
  g_auto (GStrv) lines = g_strsplit (found, "\n", 7);
  for (guint i = 0; i < 6 && lines[i]; i++)
    if (strstr (lines[i], "libhdf5"))
      return;
  fuzz_fail ("in the helper: %.150s", found);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The whole matrix if it is small, else its first and its last row. */
static void
read_matrix (AfpMatrix *matrix)
{
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
  const guint64 n_cols = MIN (cols, MAX_DENSE);
  GError *error = NULL;

  if (rows == 0 || cols == 0)
    return;
  if (rows <= MAX_DENSE && cols <= MAX_DENSE && rows * cols <= MAX_DENSE) {
    g_autoptr (GBytes) dense = afp_matrix_to_dense (matrix, NULL, &error);
    if (!dense)
      fuzz_check_error (&error);
    else if (g_bytes_get_size (dense) != rows * cols * sizeof (float))
      fuzz_fail ("a dense matrix of the wrong size");
    return;
  }
  g_autofree float *row = g_new (float, n_cols);
  if (!afp_matrix_read (matrix, 0, 1, 0, n_cols, row, &error))
    fuzz_check_error (&error);
  else if (!afp_matrix_read (matrix, rows - 1, 1, cols - n_cols, n_cols, row, &error))
    fuzz_check_error (&error);
}

void
fuzz_decode_tensor (AfpTensor *tensor)
{
  GError *error = NULL;
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, &error);

  if (!final) {
    fuzz_check_error (&error);
    return;
  }
  AfpSize size;
  afp_tensor_get_size (final, &size);
  g_free (afp_tensor_get_recipe (final));
  AfpPlane *root = afp_tensor_get_root (final);
  AfpSpec *spec = afp_tensor_get_spec (final);
  GBytes *raw = afp_plane_get_data (root);
  if (raw && g_bytes_get_size (raw) != afp_spec_get_n_bytes (spec))
    fuzz_fail ("tensor '%s' has %" G_GSIZE_FORMAT " bytes, its spec says %" G_GUINT64_FORMAT,
               afp_spec_get_name (spec), g_bytes_get_size (raw), afp_spec_get_n_bytes (spec));
  if (raw) { /* every byte is there */
    const guint8 *bytes = g_bytes_get_data (raw, NULL);
    volatile guint8 sum = 0;
    for (gsize i = 0; i < g_bytes_get_size (raw); i++)
      sum = (guint8) (sum + bytes[i]);
  }
  if (!afp_plane_desc_is_float (afp_plane_get_desc (root)))
    return;
  g_autoptr (AfpMatrix) matrix = afp_plane_open (root, spec, &error);
  if (!matrix)
    fuzz_check_error (&error);
  else
    read_matrix (matrix);
}

static void
read_tensors (const AfpReader *reader, gpointer handle)
{
  const gsize n = MIN (reader->get_n_tensors (handle), MAX_TENSORS);

  for (gsize i = 0; i < n; i++) {
    GError *error = NULL;
    g_autoptr (AfpTensor) planned = reader->plan_tensor (handle, i, &error);
    if (!planned)
      fuzz_check_error (&error);
    else if (!afp_tensor_is_planned (planned))
      fuzz_fail ("a planned tensor has data");
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, &error);
    if (!tensor)
      fuzz_check_error (&error);
    else
      fuzz_decode_tensor (tensor);
  }
}

void
fuzz_read_model (const AfpReader *reader, const char *path)
{
  const AfpReaderOptions options = { path, TRUE, FALSE };
  GError *error = NULL;

  afp_h5_child_set_start (fork_helper);
  gpointer handle = reader->open (&options, &error);
  if (!handle) {
    fuzz_check_error (&error);
    check_helper ();
    return;
  }
  read_tensors (reader, handle);
  g_autoptr (JsonNode) info = reader->get_info (handle);
  g_autofree char *text = json_to_string (info, FALSE);
  if (!g_utf8_validate (text, -1, NULL))
    fuzz_fail ("what the reader tells of the file is no UTF-8");
  g_free (reader->get_fingerprint (handle));
  reader->close (handle);
  check_helper ();
}

static void
read_bytes (const AfpReader *reader, const char *name, const guint8 *bytes, gsize n)
{
  g_autofree char *path = fuzz_path (name);

  fuzz_put (path, bytes, n);
  reader->sniff (path, bytes, MIN (n, 65536), n);
  fuzz_read_model (reader, path);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void
run_safetensors (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_safetensors, "m.safetensors", bytes, n);
}

/* The length says where the header ends: behind the last bracket that begins the data. */
static void
mend_safetensors (GByteArray *bytes)
{
  if (bytes->len < 9)
    return;
  const char *text = (const char *) bytes->data + 8;
  const gsize n = bytes->len - 8;
  const char *end = g_strstr_len (text, (gssize) n, "}}");
  const guint64 length = end ? (guint64) (end - text) + 2 : n;
  const guint64 little = GUINT64_TO_LE (length);
  memcpy (bytes->data, &little, 8);
}

const FuzzRecord fuzz_safetensors = { "safetensors",   "a safetensors file",
                                      run_safetensors, mend_safetensors,
                                      MEGABYTE,        64 };

/* config.json in one line, then the safetensors file beside it. */
static void
run_vptq (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autofree char *config = fuzz_line (&at, end), *path = fuzz_path ("config.json");

  if (!config)
    return;
  fuzz_put (path, (const guint8 *) config, strlen (config));
  read_bytes (&afp_reader_vptq, "m.safetensors", at, (gsize) (end - at));
}

static void
mend_vptq (GByteArray *bytes)
{
  const guint8 *newline = bytes->len > 0 ? memchr (bytes->data, '\n', bytes->len) : NULL;

  if (!newline)
    return;
  const guint first = (guint) (newline - bytes->data) + 1;
  g_autoptr (GByteArray) model = g_byte_array_new ();
  g_byte_array_append (model, bytes->data + first, bytes->len - first);
  mend_safetensors (model);
  g_byte_array_set_size (bytes, first);
  g_byte_array_append (bytes, model->data, model->len);
}

const FuzzRecord fuzz_vptq = {
  "vptq",   "a config.json of VPTQ, and the safetensors file beside it",
  run_vptq, mend_vptq,
  MEGABYTE, 2300
};

static void
put_shard (const char *name, const char *tensor)
{
  g_autofree char *path = fuzz_path (name);
  g_autofree char *header = g_strdup_printf (
      "{\"%s\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}", tensor);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  const guint64 length = GUINT64_TO_LE (strlen (header));

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return;
  g_byte_array_append (bytes, (const guint8 *) &length, 8);
  g_byte_array_append (bytes, (const guint8 *) header, (guint) strlen (header));
  g_byte_array_append (bytes, (const guint8 *) "abcdefghijkl", 12);
  fuzz_put (path, bytes->data, bytes->len);
}

static void
run_safetensors_index (const guint8 *bytes, gsize n)
{
  put_shard ("model-1.safetensors", "a");
  put_shard ("model-2.safetensors", "b");
  read_bytes (&afp_reader_safetensors, "model.safetensors.index.json", bytes, n);
}

const FuzzRecord fuzz_safetensors_index = { "safetensors-index",
                                            "model.safetensors.index.json, beside two shards",
                                            run_safetensors_index,
                                            NULL,
                                            MEGABYTE,
                                            256 };

static void
run_llama2c (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_llama2c, "m.bin", bytes, n);
}

const FuzzRecord fuzz_llama2c = { "llama2c",    "a llama2.c checkpoint",
                                  run_llama2c,  NULL,
                                  2 * MEGABYTE, 64 };

static void
run_numpy (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_numpy, "m.npz", bytes, n);
}

const FuzzRecord fuzz_numpy = {
  "numpy", "NumPy .npy and .npz", run_numpy, NULL, 4 * MEGABYTE, 1100
};

static void
run_gguf (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_gguf, "m.gguf", bytes, n);
}

const FuzzRecord fuzz_gguf = { "gguf", "a GGUF file", run_gguf, NULL, 2 * MEGABYTE, 256 };

static void
run_keras (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_keras, "m.h5", bytes, n);
}

const FuzzRecord fuzz_keras = { "keras",      "a Keras file, or other HDF5, through the helper",
                                run_keras,    NULL,
                                4 * MEGABYTE, 1100 };

/* LAYER NAME PATH DTYPE SHAPE BYTES STORED OFFSET, with commas between. */
static void
add_weight (GVariantBuilder *weights, const char *line)
{
  g_auto (GStrv) words = g_strsplit (line, ",", 8);
  guint64 shape[40], numbers[3];
  guint rank = 0;

  if (g_strv_length (words) < 8)
    return;
  for (const char *at = words[4]; at && *at && rank < G_N_ELEMENTS (shape); rank++) {
    shape[rank] = g_ascii_strtoull (at, NULL, 10);
    at = strchr (at, 'x');
    at = at ? at + 1 : NULL;
  }
  for (guint i = 0; i < 3; i++)
    numbers[i] = g_ascii_strtoull (words[5 + i], NULL, 10);
  g_variant_builder_add (
      weights, "(^ay^ay^ayy@atttt)", words[0], words[1], words[2], (guchar) atoi (words[3]),
      g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, shape, rank, sizeof *shape), numbers[0],
      numbers[1], numbers[2]);
}

/* layout, configuration, a weight in each line; "raw" and the bytes themselves. */
static GBytes *
make_listing (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autofree char *layout = fuzz_line (&at, end);

  if (!layout || strcmp (layout, "raw") == 0)
    return g_bytes_new (at, (gsize) (end - at));
  g_autofree char *config = fuzz_line (&at, end);
  g_autoptr (GVariantBuilder) weights = g_variant_builder_new (G_VARIANT_TYPE ("a(ayayayyatttt)"));
  char *line;
  while ((line = fuzz_line (&at, end)) != NULL) {
    add_weight (weights, line);
    g_free (line);
  }
  const char *notes[] = { "left out: a", NULL };
  g_autoptr (GVariant) listing = g_variant_ref_sink (g_variant_new (
      "(y^ay^aaya(ayayayyatttt))", (guchar) atoi (layout), config ? config : "", notes, weights));
  return g_variant_get_data_as_bytes (listing);
}

static void
run_keras_listing (const guint8 *bytes, gsize n)
{
  static const guint8 zeros[8192];
  g_autofree char *path = fuzz_path ("listed.h5");

  canned = make_listing (bytes, n);
  fuzz_put (path, zeros, sizeof zeros);
  fuzz_read_model (&afp_reader_keras, path);
  g_clear_pointer (&canned, g_bytes_unref);
}

const FuzzRecord fuzz_keras_listing = { "keras-listing",   "what the helper says of a Keras file",
                                        run_keras_listing, NULL,
                                        4 * MEGABYTE,      256 };

static void
run_afp (const guint8 *bytes, gsize n)
{
  read_bytes (&afp_reader_afp, "m.h5", bytes, n);
}

const FuzzRecord fuzz_afp = { "afp",         "our own file, through the helper",
                              run_afp,       NULL,
                              32 * MEGABYTE, 256 };
