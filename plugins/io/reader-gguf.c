/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-meta.h"
#include "io-input.h"
#include "reader.h"

#include <string.h>

/*
 * GGUF, the files of llama.cpp: the head (gguf-meta.h), a description of each tensor, then from the next multiple of the alignment
 * on the arrays. Arrays are slices of the mapped file, in the types in which they lie there; those with blocks are decoded row by row
 * where somebody wants numbers. Axes are listed innermost first: here they are turned round.
 */

#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT (1u << 30)
#define MIN_TENSOR 24 /* bytes that a description takes at least */

typedef struct {
  AfpSpec *spec;
  guint64 offset; /* in the file */
} Entry;

typedef struct {
  char *path;
  GBytes *map;
  AfpGgufMeta *meta;
  GArray *entries; /* of Entry, in the order of the file */
  gsize header_bytes;
  guint64 alignment;
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

  g_clear_pointer (&self->meta, afp_gguf_meta_free);
  g_clear_pointer (&self->map, g_bytes_unref);
  g_array_unref (self->entries);
  g_free (self->path);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  return n >= 4 && memcmp (head, "GGUF", 4) == 0;
}

/* --- types --------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  AfpDType dtype; /* AFP_N_DTYPES: cannot be read */
} types[] = {
  [0] = { "F32", AFP_DTYPE_F32 },        [1] = { "F16", AFP_DTYPE_F16 },
  [2] = { "Q4_0", AFP_DTYPE_Q4_0 },      [3] = { "Q4_1", AFP_DTYPE_Q4_1 },
  [4] = { "Q4_2", AFP_N_DTYPES },        [5] = { "Q4_3", AFP_N_DTYPES },
  [6] = { "Q5_0", AFP_DTYPE_Q5_0 },      [7] = { "Q5_1", AFP_DTYPE_Q5_1 },
  [8] = { "Q8_0", AFP_DTYPE_Q8_0 },      [9] = { "Q8_1", AFP_N_DTYPES },
  [10] = { "Q2_K", AFP_DTYPE_Q2_K },     [11] = { "Q3_K", AFP_DTYPE_Q3_K },
  [12] = { "Q4_K", AFP_DTYPE_Q4_K },     [13] = { "Q5_K", AFP_DTYPE_Q5_K },
  [14] = { "Q6_K", AFP_DTYPE_Q6_K },     [15] = { "Q8_K", AFP_N_DTYPES },
  [16] = { "IQ2_XXS", AFP_N_DTYPES },    [17] = { "IQ2_XS", AFP_N_DTYPES },
  [18] = { "IQ3_XXS", AFP_N_DTYPES },    [19] = { "IQ1_S", AFP_N_DTYPES },
  [20] = { "IQ4_NL", AFP_DTYPE_IQ4_NL }, [21] = { "IQ3_S", AFP_N_DTYPES },
  [22] = { "IQ2_S", AFP_N_DTYPES },      [23] = { "IQ4_XS", AFP_N_DTYPES },
  [24] = { "I8", AFP_DTYPE_I8 },         [25] = { "I16", AFP_DTYPE_I16 },
  [26] = { "I32", AFP_DTYPE_I32 },       [27] = { "I64", AFP_DTYPE_I64 },
  [28] = { "F64", AFP_DTYPE_F64 },       [29] = { "IQ1_M", AFP_N_DTYPES },
  [30] = { "BF16", AFP_DTYPE_BF16 },     [31] = { "Q4_0_4_4", AFP_N_DTYPES },
  [32] = { "Q4_0_4_8", AFP_N_DTYPES },   [33] = { "Q4_0_8_8", AFP_N_DTYPES },
  [34] = { "TQ1_0", AFP_DTYPE_TQ1_0 },   [35] = { "TQ2_0", AFP_DTYPE_TQ2_0 },
  [36] = { "IQ4_NL_4_4", AFP_N_DTYPES }, [37] = { "IQ4_NL_4_8", AFP_N_DTYPES },
  [38] = { "IQ4_NL_8_8", AFP_N_DTYPES }, [39] = { "MXFP4", AFP_N_DTYPES },
  [40] = { "NVFP4", AFP_N_DTYPES },      [41] = { "Q1_0", AFP_N_DTYPES },
};

static gboolean
get_dtype (const Reader *self, const char *name, guint32 type, AfpDType *dtype, GError **error)
{
  g_autofree char *number = g_strdup_printf ("number %u", type);
  const gboolean known = type < G_N_ELEMENTS (types);

  if (known && types[type].dtype < AFP_N_DTYPES) {
    *dtype = types[type].dtype;
    return TRUE;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "tensor '%s' in '%s' is of ggml's type %s, which cannot be read here; known are F32 "
               "F16 BF16 F64 I8 I16 I32 I64 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K "
               "IQ4_NL TQ1_0 TQ2_0: take the model in one of these, or convert it with "
               "llama-quantize --allow-requantize",
               name, self->path, known ? types[type].name : number);
  return FALSE;
}

/* --- descriptions -------------------------------------------------------------------------------------------------- */

static gboolean tensor_error (GError **error, const Reader *self, const char *name,
                              const char *format, ...) G_GNUC_PRINTF (4, 5);

static gboolean
tensor_error (GError **error, const Reader *self, const char *name, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s' in '%s' %s", name, self->path, why);
  return FALSE;
}

/* The axes, outermost first. */
static gboolean
take_shape (const Reader *self, AfpGgufCursor *cursor, const char *name,
            guint64 shape[AFP_MAX_RANK], guint32 *rank, GError **error)
{
  if (!afp_gguf_take_u32 (cursor, "the rank of a tensor", rank, error))
    return FALSE;
  if (*rank > AFP_MAX_RANK)
    return tensor_error (error, self, name, "has rank %u; the limit is %d", *rank, AFP_MAX_RANK);
  for (guint i = *rank; i-- > 0;)
    if (!afp_gguf_take_u64 (cursor, "the shape of a tensor", &shape[i], error))
      return FALSE;
  return TRUE;
}

/* One description; the offset that is set counts from the first array. */
static gboolean
take_tensor (Reader *self, AfpGgufCursor *cursor, GHashTable *names, GError **error)
{
  g_autofree char *name =
      afp_gguf_take_text (cursor, "the name of a tensor", AFP_INPUT_MAX_NAME, error);
  guint64 shape[AFP_MAX_RANK] = { 0 }, n_elements, n_bytes;
  guint32 rank, type;
  AfpDType dtype;
  Entry entry;

  if (name == NULL || !afp_input_check_name (name, self->path, error))
    return FALSE;
  if (!take_shape (self, cursor, name, shape, &rank, error) ||
      !afp_gguf_take_u32 (cursor, "the type of a tensor", &type, error) ||
      !afp_gguf_take_u64 (cursor, "the offset of a tensor", &entry.offset, error) ||
      !get_dtype (self, name, type, &dtype, error))
    return FALSE;
  if (g_hash_table_contains (names, name))
    return tensor_error (error, self, name, "is described twice");
  g_autofree char *why = afp_input_check_shape (rank, shape, dtype, &n_elements, &n_bytes);
  if (why != NULL)
    return tensor_error (error, self, name, "%s", why);
  if (entry.offset % self->alignment != 0)
    return tensor_error (error, self, name,
                         "begins at byte %" G_GUINT64_FORMAT
                         " of the data, no multiple of the file's alignment %" G_GUINT64_FORMAT,
                         entry.offset, self->alignment);
  entry.spec = afp_spec_new (name, dtype, rank, shape, NULL, NULL);
  g_hash_table_add (names, (char *) afp_spec_get_name (entry.spec));
  g_array_append_val (self->entries, entry);
  return TRUE;
}

static gboolean
get_alignment (Reader *self, GError **error)
{
  self->alignment = DEFAULT_ALIGNMENT;
  if (afp_gguf_meta_find (self->meta, "general.alignment") == NULL)
    return TRUE;
  guint64 value = 0;
  if (!afp_gguf_meta_get_count (self->meta, "general.alignment", &value) || value == 0 ||
      value > MAX_ALIGNMENT || (value & (value - 1)) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is damaged: general.alignment is %" G_GUINT64_FORMAT
                 "; a power of two up to %u is expected",
                 self->path, value, MAX_ALIGNMENT);
    return FALSE;
  }
  self->alignment = value;
  return TRUE;
}

static gboolean
check_whole (const Reader *self, GError **error)
{
  guint64 parts = 0, number = 0;

  if (!afp_gguf_meta_get_count (self->meta, "split.count", &parts) || parts < 2)
    return TRUE;
  afp_gguf_meta_get_count (self->meta, "split.no", &number);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "'%s' is part %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
               " of a model; join them with llama-gguf-split --merge",
               self->path, number + 1, parts);
  return FALSE;
}

static gint
compare_places (gconstpointer a, gconstpointer b)
{
  const Entry *x = *(Entry *const *) a, *y = *(Entry *const *) b;

  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  const guint64 n_x = afp_spec_get_n_bytes (x->spec), n_y = afp_spec_get_n_bytes (y->spec);
  return n_x < n_y ? -1 : n_x > n_y;
}

/* Every array lies in the file, and on no other. Then the offsets count from the start of the file. */
static gboolean
place_arrays (Reader *self, GError **error)
{
  const guint64 size = g_bytes_get_size (self->map), rest = self->header_bytes % self->alignment;
  const guint64 start = self->header_bytes + (rest ? self->alignment - rest : 0);
  const guint64 payload = size > start ? size - start : 0;
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();

  for (guint i = 0; i < self->entries->len; i++) {
    Entry *entry = &g_array_index (self->entries, Entry, i);
    const guint64 n = afp_spec_get_n_bytes (entry->spec);
    if (entry->offset > payload || n > payload - entry->offset)
      return tensor_error (error, self, afp_spec_get_name (entry->spec),
                           "takes %" G_GUINT64_FORMAT " bytes from byte %" G_GUINT64_FORMAT
                           " of the data on, of which there are %" G_GUINT64_FORMAT
                           "; the file is cut off or damaged",
                           n, entry->offset, payload);
    if (n > 0)
      g_ptr_array_add (sorted, entry);
  }
  g_ptr_array_sort (sorted, compare_places);
  for (guint i = 1; i < sorted->len; i++) {
    const Entry *before = sorted->pdata[i - 1], *entry = sorted->pdata[i];
    const guint64 end = before->offset + afp_spec_get_n_bytes (before->spec);
    if (entry->offset < end)
      return tensor_error (
          error, self, afp_spec_get_name (entry->spec),
          "begins at byte %" G_GUINT64_FORMAT
          " of the data and overlaps tensor '%s', which ends at %" G_GUINT64_FORMAT,
          entry->offset, afp_spec_get_name (before->spec), end);
  }
  for (guint i = 0; i < self->entries->len; i++)
    g_array_index (self->entries, Entry, i).offset += start;
  return TRUE;
}

static gboolean
list_tensors (Reader *self, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  const guint64 n = self->meta->n_tensors;
  AfpGgufCursor cursor = { .path = self->path, .at = self->meta->end };

  cursor.data = g_bytes_get_data (self->map, &cursor.size);
  if (n > (cursor.size - cursor.at) / MIN_TENSOR) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is cut off or damaged: it is to have %" G_GUINT64_FORMAT
                 " tensors, but only %" G_GSIZE_FORMAT " bytes follow",
                 self->path, n, cursor.size - cursor.at);
    return FALSE;
  }
  for (guint64 i = 0; i < n; i++)
    if (!take_tensor (self, &cursor, names, error))
      return FALSE;
  self->header_bytes = cursor.at;
  return place_arrays (self, error);
}

/* --- the reader ---------------------------------------------------------------------------------------------------- */

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_array_set_clear_func (self->entries, entry_clear);
  self->path = g_strdup (options->location);
  self->map = afp_input_map (self->path, error);
  if (self->map == NULL)
    return NULL;
  self->meta = afp_gguf_meta_parse (self->map, self->path, error);
  if (self->meta == NULL || !check_whole (self, error) || !get_alignment (self, error) ||
      !list_tensors (self, error))
    return NULL;
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

static gboolean
has_tensor (const Reader *self, const char *name)
{
  for (guint i = 0; i < self->entries->len; i++)
    if (g_str_equal (afp_spec_get_name (g_array_index (self->entries, Entry, i).spec), name))
      return TRUE;
  return FALSE;
}

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  JsonObject *info = json_object_new ();
  JsonArray *files = json_array_new ();
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);

  json_object_set_string_member (info, "format", "gguf");
  json_object_set_int_member (info, "format_version", self->meta->version);
  json_array_add_string_element (files, self->path);
  json_object_set_array_member (info, "files", files);
  json_object_set_member (info, "gguf_metadata", afp_gguf_meta_to_json (self->meta));
  if (has_tensor (self, "token_embd.weight") && !has_tensor (self, "output.weight"))
    g_ptr_array_add (notes, g_strdup ("there is no output.weight: the head is token_embd.weight"));
  afp_input_set_notes (info, notes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, info);
  return node;
}

static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("gguf");

  afp_input_fingerprint_add_file (checksum, self->map);
  g_checksum_update (checksum, g_bytes_get_data (self->map, NULL), (gssize) self->header_bytes);
  return g_strdup (g_checksum_get_string (checksum));
}

/* The head as it is in the file: version, numbers, metadata; the tokenizer is in them. */
static char **
reader_list_extras (gpointer data)
{
  static const char *const names[] = { AFP_EXTRA_GGUF_METADATA, NULL };

  return ((Reader *) data)->meta->end <= AFP_EXTRA_MAX_BYTES ? g_strdupv ((char **) names) : NULL;
}

static GBytes *
reader_read_extra (gpointer data, const char *name, GError **error)
{
  Reader *self = data;

  return g_bytes_new_from_bytes (self->map, 0, self->meta->end);
}

const AfpReader afp_reader_gguf = {
  .name = "gguf",
  .blurb = "GGUF, versions 2 and 3, blocks kept as they are",
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
