/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"
#include "reader.h"

#include <string.h>

/*
 * llama2.c checkpoints, the legacy format (version 0): seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size,
 * seq_len; vocab_size is negative if the classifier is not the embedding), then float32 arrays, each kind for all layers. The two
 * tables of the rotary embedding are left out: they follow from the configuration. Little-endian.
 */

#define HEADER_BYTES 28
#define MAGIC "24ka" /* "ak42" as an int32: versions 1 and 2 */
#define FINGERPRINT_BYTES 4096

typedef struct {
  guint64 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len, kv_dim;
  gboolean shared; /* the classifier is the embedding */
} Config;

typedef struct {
  AfpSpec *spec;
  guint64 offset;
} Entry;

typedef struct {
  GBytes *map;
  Config config;
  GArray *entries; /* of Entry, in the order of the file */
  guint64 skipped; /* bytes of the rotary tables */
  char *path;
} Reader;

static void
entry_clear (gpointer data)
{
  afp_spec_unref (((Entry *) data)->spec);
}

static void
reader_close (gpointer data)
{
  Reader *self = data;

  g_clear_pointer (&self->map, g_bytes_unref);
  g_array_unref (self->entries);
  g_free (self->path);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

/* The limits keep all products below 2^63. Returns the first value that cannot be, or NULL. */
static const char *
parse_config (const guint8 *head, Config *config)
{
  gint32 values[7];

  for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
    guint32 word;
    memcpy (&word, head + 4 * i, 4);
    values[i] = (gint32) GUINT32_FROM_LE (word);
  }
  config->shared = values[5] > 0;
  if (values[5] < 0 && values[5] != G_MININT32)
    values[5] = -values[5];
  if (values[0] < 1 || values[0] > 1 << 20)
    return "dim";
  if (values[1] < 1 || values[1] > 1 << 22)
    return "hidden_dim";
  if (values[2] < 1 || values[2] > 1 << 12)
    return "n_layers";
  if (values[3] < 1 || values[0] % values[3] != 0 || values[0] / values[3] % 2 != 0)
    return "n_heads";
  if (values[4] < 1 || values[3] % values[4] != 0)
    return "n_kv_heads";
  if (values[5] < 1 || values[5] > 1 << 26)
    return "vocab_size";
  if (values[6] < 1 || values[6] > 1 << 26)
    return "seq_len";
  config->dim = (guint64) values[0];
  config->hidden_dim = (guint64) values[1];
  config->n_layers = (guint64) values[2];
  config->n_heads = (guint64) values[3];
  config->n_kv_heads = (guint64) values[4];
  config->vocab_size = (guint64) values[5];
  config->seq_len = (guint64) values[6];
  config->kv_dim = config->dim / config->n_heads * config->n_kv_heads;
  return NULL;
}

static guint64
rotary_bytes (const Config *c)
{
  return 2 * c->seq_len * (c->dim / c->n_heads / 2) * 4;
}

static guint64
expected_bytes (const Config *c)
{
  const guint64 layer =
      2 * c->dim + 2 * c->dim * c->dim + 2 * c->dim * c->kv_dim + 3 * c->dim * c->hidden_dim;
  const guint64 vocabulary = c->vocab_size * c->dim * (c->shared ? 1 : 2);

  return HEADER_BYTES + rotary_bytes (c) + 4 * (c->n_layers * layer + vocabulary + c->dim);
}

static void
add (Reader *self, guint64 *offset, const char *name, guint rank, guint64 rows, guint64 cols)
{
  const guint64 shape[2] = { rows, cols };
  Entry entry = { afp_spec_new (name, AFP_DTYPE_F32, rank, shape, NULL, NULL), *offset };

  *offset += afp_spec_get_n_bytes (entry.spec);
  g_array_append_val (self->entries, entry);
}

static void
add_layers (Reader *self, guint64 *offset, const char *suffix, guint rank, guint64 rows,
            guint64 cols)
{
  for (guint64 layer = 0; layer < self->config.n_layers; layer++) {
    g_autofree char *name =
        g_strdup_printf ("layers.%" G_GUINT64_FORMAT ".%s.weight", layer, suffix);
    add (self, offset, name, rank, rows, cols);
  }
}

/* The embedding by another name, at the same place. */
static void
add_shared_classifier (Reader *self)
{
  const Entry *first = &g_array_index (self->entries, Entry, 0);
  const AfpSpec *spec = first->spec;
  Entry entry = { afp_spec_new ("output.weight", afp_spec_get_dtype (spec),
                                afp_spec_get_rank (spec), afp_spec_get_shape (spec), NULL,
                                afp_spec_get_name (spec)),
                  first->offset };

  g_array_append_val (self->entries, entry);
}

static void
list_tensors (Reader *self)
{
  const Config *c = &self->config;
  guint64 offset = HEADER_BYTES;

  add (self, &offset, "tok_embeddings.weight", 2, c->vocab_size, c->dim);
  add_layers (self, &offset, "attention_norm", 1, c->dim, 1);
  add_layers (self, &offset, "attention.wq", 2, c->dim, c->dim);
  add_layers (self, &offset, "attention.wk", 2, c->kv_dim, c->dim);
  add_layers (self, &offset, "attention.wv", 2, c->kv_dim, c->dim);
  add_layers (self, &offset, "attention.wo", 2, c->dim, c->dim);
  add_layers (self, &offset, "ffn_norm", 1, c->dim, 1);
  add_layers (self, &offset, "feed_forward.w1", 2, c->hidden_dim, c->dim);
  add_layers (self, &offset, "feed_forward.w2", 2, c->dim, c->hidden_dim);
  add_layers (self, &offset, "feed_forward.w3", 2, c->hidden_dim, c->dim);
  add (self, &offset, "norm.weight", 1, c->dim, 1);
  self->skipped = rotary_bytes (c);
  offset += self->skipped;
  if (!c->shared)
    add (self, &offset, "output.weight", 2, c->vocab_size, c->dim);
  g_assert (offset == g_bytes_get_size (self->map));
  if (c->shared)
    add_shared_classifier (self);
}

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  Config config;

  if (n < HEADER_BYTES)
    return FALSE;
  if (memcmp (head, MAGIC, 4) == 0)
    return TRUE;
  return parse_config (head, &config) == NULL && expected_bytes (&config) == file_size;
}

static gboolean
check_header (Reader *self, const char *path, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->map, &size);

  if (size < HEADER_BYTES) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no llama2.c checkpoint: it has %" G_GSIZE_FORMAT
                 " bytes, the header alone takes %d",
                 path, size, HEADER_BYTES);
    return FALSE;
  }
  if (memcmp (data, MAGIC, 4) == 0) {
    guint32 version;
    memcpy (&version, data + 4, 4);
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is a llama2.c checkpoint of version %u; this reader knows version 0: export "
                 "it with --version 0, or as safetensors",
                 path, GUINT32_FROM_LE (version));
    return FALSE;
  }
  const char *wrong = parse_config (data, &self->config);
  if (wrong != NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no llama2.c checkpoint: %s in its header cannot be", path, wrong);
    return FALSE;
  }
  const guint64 expected = expected_bytes (&self->config);
  if (expected != size) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has %" G_GSIZE_FORMAT
                 " bytes, but a llama2.c checkpoint with its header has %" G_GUINT64_FORMAT
                 "; the file is cut off or of another format",
                 path, size, expected);
    return FALSE;
  }
  return TRUE;
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_array_set_clear_func (self->entries, entry_clear);
  self->path = g_strdup (options->location);
  self->map = afp_input_map (options->location, error);
  if (self->map == NULL || !check_header (self, options->location, error))
    return NULL;
  list_tensors (self);
  return g_steal_pointer (&self);
}

static gsize
reader_get_n_tensors (gpointer data)
{
  return ((Reader *) data)->entries->len;
}

static AfpTensor *
make_tensor (Reader *self, gsize index, gboolean with_data)
{
  const Entry *entry = &g_array_index (self->entries, Entry, index);

  return afp_input_make_tensor (entry->spec, with_data ? self->map : NULL, entry->offset);
}

static AfpTensor *
reader_plan_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (data, index, FALSE);
}

static AfpTensor *
reader_read_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (data, index, TRUE);
}

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  const Config *c = &self->config;
  JsonObject *info = json_object_new ();
  JsonObject *config = json_object_new ();
  JsonArray *files = json_array_new ();
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);

  json_object_set_string_member (info, "format", "llama2c");
  json_array_add_string_element (files, self->path);
  json_object_set_array_member (info, "files", files);
  json_object_set_int_member (config, "dim", (gint64) c->dim);
  json_object_set_int_member (config, "hidden_dim", (gint64) c->hidden_dim);
  json_object_set_int_member (config, "n_layers", (gint64) c->n_layers);
  json_object_set_int_member (config, "n_heads", (gint64) c->n_heads);
  json_object_set_int_member (config, "n_kv_heads", (gint64) c->n_kv_heads);
  json_object_set_int_member (config, "vocab_size", (gint64) c->vocab_size);
  json_object_set_int_member (config, "seq_len", (gint64) c->seq_len);
  json_object_set_boolean_member (config, "shared_classifier", c->shared);
  json_object_set_object_member (info, "config", config);
  g_ptr_array_add (notes,
                   g_strdup_printf ("left out: freq_cis_real, freq_cis_imag (%" G_GUINT64_FORMAT
                                    " bytes; they follow from the configuration)",
                                    self->skipped));
  if (c->shared)
    g_ptr_array_add (notes, g_strdup ("output.weight is tok_embeddings.weight"));
  afp_input_set_notes (info, notes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, info);
  return node;
}

static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("llama2c");
  const gsize size = g_bytes_get_size (self->map);

  afp_input_fingerprint_add_file (checksum, self->map);
  g_checksum_update (checksum, g_bytes_get_data (self->map, NULL),
                     (gssize) MIN (size, FINGERPRINT_BYTES));
  return g_strdup (g_checksum_get_string (checksum));
}

/* The header as it is in the file. */
static char **
reader_list_extras (gpointer data)
{
  static const char *const names[] = { AFP_EXTRA_LLAMA2C_CONFIG, NULL };

  return g_strdupv ((char **) names);
}

static GBytes *
reader_read_extra (gpointer data, const char *name, GError **error)
{
  return g_bytes_new_from_bytes (((Reader *) data)->map, 0, HEADER_BYTES);
}

const AfpReader afp_reader_llama2c = {
  .name = "llama2c",
  .blurb = "llama2.c checkpoints (.bin, legacy format, float32)",
  .sniff = reader_sniff,
  .open = reader_open,
  .close = reader_close,
  .get_n_tensors = reader_get_n_tensors,
  .plan_tensor = reader_plan_tensor,
  .read_tensor = reader_read_tensor,
  .get_info = reader_get_info,
  .get_fingerprint = reader_get_fingerprint,
  .list_extras = reader_list_extras,
  .read_extra = reader_read_extra,
};
