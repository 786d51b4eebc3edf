/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extras-folder.h"
#include "io.h"
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * load: tensors of a model file. The format is found by content; each one is an AfpReader.
 */
#define HEAD_BYTES 65536

struct _AfpLoad {
  AfpSource parent_instance;
  char *location;
  int format;
  gboolean verify;
  gboolean skip_missing;
  char *tokenizer;

  char *path; /* the file that was opened: in a folder, the model in it */
  const AfpReader *reader;
  gpointer handle;
  GBytes *tokenizer_bytes; /* (nullable) */
};

G_DEFINE_FINAL_TYPE (AfpLoad, afp_load, AFP_TYPE_SOURCE)

static const char *const formats[] = { "auto",  "safetensors", "keras", "afpipe", "llama2c",
                                       "numpy", "gguf",        "vptq",  NULL };
/* In the order of formats[]. Our own files are HDF5 too: they are looked for before Keras; as VPTQ before safetensors. */
static const AfpReader *const readers[] = { NULL,
                                            &afp_reader_safetensors,
                                            &afp_reader_keras,
                                            &afp_reader_afp,
                                            &afp_reader_llama2c,
                                            &afp_reader_numpy,
                                            &afp_reader_gguf,
                                            &afp_reader_vptq };
static const AfpReader *const sniff_order[] = { &afp_reader_afp,         &afp_reader_keras,
                                                &afp_reader_gguf,        &afp_reader_vptq,
                                                &afp_reader_safetensors, &afp_reader_numpy,
                                                &afp_reader_llama2c };

static const AfpProperty properties[] = {
  AFP_PROP_STRING ("location", NULL, AFP_PROPERTY_REQUIRED | AFP_PROPERTY_FILE, AfpLoad, location,
                   NULL, "The model: a file, an index of shards, or a folder with one of them"),
  AFP_PROP_ENUM ("format", NULL, 0, AfpLoad, format, "auto", formats,
                 "Format of the file; auto looks at its content"),
  AFP_PROP_BOOL ("verify", NULL, 0, AfpLoad, verify, "false",
                 "Check checksums where the format has them"),
  AFP_PROP_BOOL ("skip-missing", NULL, 0, AfpLoad, skip_missing, "false",
                 "Our own files: leave out tensors whose codec is not installed"),
  AFP_PROP_STRING ("tokenizer", NULL, AFP_PROPERTY_FILE, AfpLoad, tokenizer, NULL,
                   "The tokenizer that goes with the model: a tokenizer.json, or llama2.c's "
                   "tokenizer.bin"),
};

/* --- which file, which format ------------------------------------------------------------------------------------ */

/* The model in a folder, or the location itself. */
static char *
resolve (const char *location, GError **error)
{
  static const char *const names[] = { "model.safetensors.index.json", "model.safetensors" };

  if (!g_file_test (location, G_FILE_TEST_IS_DIR))
    return g_strdup (location);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (location, names[i], NULL);
    if (g_file_test (path, G_FILE_TEST_EXISTS))
      return g_steal_pointer (&path);
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
               "'%s' is a folder without %s and without %s; give the name of the model's file",
               location, names[0], names[1]);
  return NULL;
}

static gboolean
read_fully (int fd, guint8 *head, gsize *n)
{
  while (*n < HEAD_BYTES) {
    const gssize done = read (fd, head + *n, HEAD_BYTES - *n);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return done == 0;
    *n += (gsize) done;
  }
  return TRUE;
}

/* The first bytes and the size of an ordinary file. */
static gboolean
read_head (const char *path, guint8 *head, gsize *n, guint64 *size, GError **error)
{
  struct stat info;

  *n = 0;
  /* Not blocking: opening a pipe would wait for somebody to write. */
  const int fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0 || fstat (fd, &info) != 0 || (S_ISREG (info.st_mode) && !read_fully (fd, head, n))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", path, g_strerror (errno));
    if (fd >= 0)
      close (fd);
    return FALSE;
  }
  close (fd);
  *size = (guint64) info.st_size;
  if (!S_ISREG (info.st_mode)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot read '%s': it is not an ordinary file, and models are mapped", path);
    return FALSE;
  }
  if (info.st_size == 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is empty", path);
    return FALSE;
  }
  return TRUE;
}

/* What people try, and what to do with it. */
static const char *
advise (const guint8 *head, gsize n)
{
  if (n >= 2 && head[0] == 0x80 && head[1] <= 5)
    return "it is a Python pickle: save the weights as safetensors";
  if (n >= 7 && memcmp (head, "version", 7) == 0)
    return "it is a pointer of Git LFS: fetch the file itself with 'git lfs pull'";
  return "known are safetensors, its index of shards, Keras .h5 and other HDF5, our own files, NumPy "
         ".npy and .npz, GGUF and llama2.c .bin; perhaps it is cut off";
}

static const AfpReader *
choose_reader (AfpLoad *self, GError **error)
{
  g_autofree guint8 *head = g_malloc (HEAD_BYTES);
  guint64 size;
  gsize n;

  if (!read_head (self->path, head, &n, &size, error))
    return NULL;
  if (self->format > 0)
    return readers[self->format];
  for (guint i = 0; i < G_N_ELEMENTS (sniff_order); i++)
    if (sniff_order[i]->sniff (self->path, head, n, size))
      return sniff_order[i];
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is of no known format: %s", self->path,
               advise (head, n));
  return NULL;
}

/* --- extras ------------------------------------------------------------------------------------------------------ */

/* What tokenizer= stands for, by its content. */
static const char *
name_tokenizer (GBytes *bytes)
{
  gsize n;
  const char *text = g_bytes_get_data (bytes, &n);
  gsize i = 0;

  while (i < n && g_ascii_isspace (text[i]))
    i++;
  return i < n && text[i] == '{' ? AFP_EXTRA_TOKENIZER : AFP_EXTRA_LLAMA2C_TOKENIZER;
}

static gboolean
open_tokenizer (AfpLoad *self, GError **error)
{
  g_clear_pointer (&self->tokenizer_bytes, g_bytes_unref);
  if (self->tokenizer == NULL || *self->tokenizer == '\0')
    return TRUE;
  self->tokenizer_bytes = afp_extras_file_read (self->tokenizer, error);
  if (self->tokenizer_bytes != NULL)
    return TRUE;
  g_prefix_error (error, "tokenizer=: ");
  return FALSE;
}

static gboolean
is_tokenizer (const char *name)
{
  return strcmp (name, AFP_EXTRA_TOKENIZER) == 0 || strcmp (name, AFP_EXTRA_LLAMA2C_TOKENIZER) == 0;
}

/* tokenizer= stands in place of what the model has. */
static char **
load_list_extras (AfpSource *source)
{
  AfpLoad *self = AFP_LOAD (source);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_auto (GStrv) own = self->handle != NULL && self->reader->list_extras != NULL
                           ? self->reader->list_extras (self->handle)
                           : NULL;
  const char *given = self->tokenizer_bytes != NULL ? name_tokenizer (self->tokenizer_bytes) : NULL;

  for (guint i = 0; own != NULL && own[i] != NULL; i++)
    if (given == NULL || !is_tokenizer (own[i]))
      g_strv_builder_add (names, own[i]);
  if (given != NULL)
    g_strv_builder_add (names, given);
  return g_strv_builder_end (names);
}

static GBytes *
load_read_extra (AfpSource *source, const char *name, GError **error)
{
  AfpLoad *self = AFP_LOAD (source);

  if (self->tokenizer_bytes != NULL && strcmp (name, name_tokenizer (self->tokenizer_bytes)) == 0)
    return g_bytes_ref (self->tokenizer_bytes);
  return self->reader->read_extra (self->handle, name, error);
}

/* --- AfpSource --------------------------------------------------------------------------------------------------- */

static gboolean
load_open (AfpSource *source, GError **error)
{
  AfpLoad *self = AFP_LOAD (source);

  if (self->location == NULL || *self->location == '\0') {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "location= is missing: name a model file");
    return FALSE;
  }
  if (!open_tokenizer (self, error))
    return FALSE;
  g_free (self->path);
  self->path = resolve (self->location, error);
  if (self->path == NULL)
    return FALSE;
  self->reader = choose_reader (self, error);
  if (self->reader == NULL)
    return FALSE;
  const AfpReaderOptions options = { self->path, self->verify, self->skip_missing };
  self->handle = self->reader->open (&options, error);
  return self->handle != NULL;
}

static gsize
load_get_n_tensors (AfpSource *source)
{
  AfpLoad *self = AFP_LOAD (source);

  return self->reader->get_n_tensors (self->handle);
}

static AfpTensor *
load_plan_tensor (AfpSource *source, gsize index, GError **error)
{
  AfpLoad *self = AFP_LOAD (source);

  return self->reader->plan_tensor (self->handle, index, error);
}

static AfpTensor *
load_read_tensor (AfpSource *source, gsize index, GError **error)
{
  AfpLoad *self = AFP_LOAD (source);

  return self->reader->read_tensor (self->handle, index, error);
}

static guint64
load_tensor_memory (AfpSource *source, gsize index)
{
  AfpLoad *self = AFP_LOAD (source);

  return self->reader->tensor_memory ? self->reader->tensor_memory (self->handle, index) : 0;
}

static JsonNode *
load_get_info (AfpSource *source)
{
  AfpLoad *self = AFP_LOAD (source);
  JsonNode *info = self->handle != NULL && self->reader->get_info != NULL
                       ? self->reader->get_info (self->handle)
                       : NULL;

  if (info == NULL) {
    info = json_node_new (JSON_NODE_OBJECT);
    json_node_take_object (info, json_object_new ());
  }
  JsonObject *object = json_node_get_object (info);
  if (self->handle != NULL && !json_object_has_member (object, "files")) {
    JsonArray *files = json_array_new ();
    json_array_add_string_element (files, self->path);
    json_object_set_array_member (object, "files", files);
  }
  return info;
}

static char *
load_get_fingerprint (AfpSource *source)
{
  AfpLoad *self = AFP_LOAD (source);

  return self->handle != NULL && self->reader->get_fingerprint != NULL
             ? self->reader->get_fingerprint (self->handle)
             : NULL;
}

static void
afp_load_finalize (GObject *object)
{
  AfpLoad *self = AFP_LOAD (object);

  if (self->handle != NULL)
    self->reader->close (self->handle);
  g_clear_pointer (&self->tokenizer_bytes, g_bytes_unref);
  g_free (self->path);
  G_OBJECT_CLASS (afp_load_parent_class)->finalize (object);
}

static void
afp_load_class_init (AfpLoadClass *klass)
{
  AfpSourceClass *source_class = AFP_SOURCE_CLASS (klass);
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_load_finalize;
  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (element_class, "Reads the tensors of a model file",
                                 "load location=model.safetensors ! seedlm ! eval ! null");
  source_class->open = load_open;
  source_class->get_n_tensors = load_get_n_tensors;
  source_class->plan_tensor = load_plan_tensor;
  source_class->read_tensor = load_read_tensor;
  source_class->tensor_memory = load_tensor_memory;
  source_class->get_info = load_get_info;
  source_class->get_fingerprint = load_get_fingerprint;
  source_class->list_extras = load_list_extras;
  source_class->read_extra = load_read_extra;
}

static void
afp_load_init (AfpLoad *self)
{
}
