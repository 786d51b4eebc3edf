/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "safetensors-layout.h"

#include <string.h>

#define SUFFIX ".safetensors"

static void
slot_clear (gpointer data)
{
  afp_spec_unref (((AfpSafetensorsSlot *) data)->spec);
}

void
afp_safetensors_layout_free (AfpSafetensorsLayout *layout)
{
  g_array_unref (layout->slots);
  g_array_unref (layout->payloads);
  g_free (layout);
}

/* --- which tensor goes where ------------------------------------------------------------------------------------- */

/* Elements of less than 8 bits need no alignment. */
static gsize
get_alignment (AfpSpec *spec)
{
  const AfpDType dtype = afp_spec_get_dtype (spec);

  return afp_dtype_block (dtype) > 1 ? 1 : afp_dtype_size (dtype);
}

static int
compare_place (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const GArray *slots = user_data;
  const guint x = *(const guint *) a, y = *(const guint *) b;
  const AfpSafetensorsSlot *first = &g_array_index (slots, AfpSafetensorsSlot, x);
  const AfpSafetensorsSlot *second = &g_array_index (slots, AfpSafetensorsSlot, y);
  const gsize first_size = get_alignment (first->spec);
  const gsize second_size = get_alignment (second->spec);

  if (first->shard != second->shard)
    return first->shard < second->shard ? -1 : 1;
  if (first_size != second_size)
    return first_size > second_size ? -1 : 1;
  return x < y ? -1 : x > y;
}

/* Fills one shard after the other. */
static void
choose_shards (AfpSafetensorsLayout *layout, guint64 max_shard)
{
  guint64 used = 0;
  guint shard = 0, in_shard = 0;

  for (guint i = 0; i < layout->slots->len; i++) {
    AfpSafetensorsSlot *slot = &g_array_index (layout->slots, AfpSafetensorsSlot, i);
    const guint64 bytes = afp_spec_get_n_bytes (slot->spec);
    if (max_shard > 0 && in_shard > 0 && (used > max_shard || bytes > max_shard - used)) {
      shard++;
      used = in_shard = 0;
    }
    slot->shard = shard;
    used += bytes;
    in_shard++;
  }
  g_array_set_size (layout->payloads, shard + 1);
}

static void
choose_offsets (AfpSafetensorsLayout *layout)
{
  g_autoptr (GArray) order = g_array_sized_new (FALSE, FALSE, sizeof (guint), layout->slots->len);

  for (guint i = 0; i < layout->slots->len; i++)
    g_array_append_val (order, i);
  g_array_sort_with_data (order, compare_place, layout->slots);
  for (guint i = 0; i < order->len; i++) {
    AfpSafetensorsSlot *slot =
        &g_array_index (layout->slots, AfpSafetensorsSlot, g_array_index (order, guint, i));
    guint64 *payload = &g_array_index (layout->payloads, guint64, slot->shard);
    slot->offset = *payload;
    *payload += afp_spec_get_n_bytes (slot->spec);
  }
}

static gboolean
add_slots (AfpSafetensorsLayout *layout, const char *location, const GPtrArray *specs,
           GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  guint64 total = 0;

  for (guint i = 0; i < specs->len; i++) {
    AfpSafetensorsSlot slot = { afp_spec_ref (specs->pdata[i]), 0, 0 };
    g_array_append_val (layout->slots, slot);
    const char *name = afp_spec_get_name (slot.spec);
    if (!g_hash_table_add (names, (char *) name)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "two tensors are called '%s'; '%s' can hold one of them", name, location);
      return FALSE;
    }
    if (!g_uint64_checked_add (&total, total, afp_spec_get_n_bytes (slot.spec)) ||
        total > G_MAXINT64 / 2) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "'%s' would have more than %" G_GINT64_FORMAT " bytes", location,
                   G_MAXINT64 / 2);
      return FALSE;
    }
  }
  return TRUE;
}

AfpSafetensorsLayout *
afp_safetensors_lay_out (const char *location, const GPtrArray *specs, guint64 max_shard,
                         GError **error)
{
  g_autoptr (AfpSafetensorsLayout) layout = g_new0 (AfpSafetensorsLayout, 1);
  layout->slots = g_array_new (FALSE, FALSE, sizeof (AfpSafetensorsSlot));
  g_array_set_clear_func (layout->slots, slot_clear);
  layout->payloads = g_array_new (FALSE, TRUE, sizeof (guint64));

  if (!add_slots (layout, location, specs, error))
    return NULL;
  choose_shards (layout, max_shard);
  if (layout->payloads->len > AFP_SAFETENSORS_MAX_SHARDS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "'%s' would be %u files with max-shard=%" G_GUINT64_FORMAT
                 "; the limit is %d: raise max-shard",
                 location, layout->payloads->len, max_shard, AFP_SAFETENSORS_MAX_SHARDS);
    return NULL;
  }
  choose_offsets (layout);
  return g_steal_pointer (&layout);
}

/* --- texts ------------------------------------------------------------------------------------------------------- */

static void
append_string (GString *text, const char *string)
{
  g_string_append_c (text, '"');
  for (const char *p = string; *p; p++)
    if (*p == '"' || *p == '\\')
      g_string_append_printf (text, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (text, "\\u%04x", (guchar) *p);
    else
      g_string_append_c (text, *p);
  g_string_append_c (text, '"');
}

static void
append_metadata (GString *text, JsonNode *metadata)
{
  JsonObjectIter iter;
  const char *key, *separator = "";
  JsonNode *value;

  g_string_append (text, "\"__metadata__\":{");
  json_object_iter_init_ordered (&iter, json_node_get_object (metadata));
  while (json_object_iter_next_ordered (&iter, &key, &value)) {
    g_string_append (text, separator);
    append_string (text, key);
    g_string_append_c (text, ':');
    append_string (text, json_node_get_string (value));
    separator = ",";
  }
  g_string_append_c (text, '}');
}

static void
append_slot (GString *text, const AfpSafetensorsSlot *slot)
{
  AfpSpec *spec = slot->spec;
  g_autofree char *dtype = g_ascii_strup (afp_dtype_name (afp_spec_get_dtype (spec)), -1);

  append_string (text, afp_spec_get_name (spec));
  g_string_append_printf (text, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
  for (guint axis = 0; axis < afp_spec_get_rank (spec); axis++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, axis ? "," : "",
                            afp_spec_get_shape (spec)[axis]);
  g_string_append_printf (text, "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}",
                          slot->offset, slot->offset + afp_spec_get_n_bytes (spec));
}

GString *
afp_safetensors_make_header (const AfpSafetensorsLayout *layout, guint shard, JsonNode *metadata)
{
  GString *text = g_string_new ("        {");
  const gsize begin = text->len;

  if (metadata != NULL)
    append_metadata (text, metadata);
  for (guint i = 0; i < layout->slots->len; i++) {
    const AfpSafetensorsSlot *slot = &g_array_index (layout->slots, AfpSafetensorsSlot, i);
    if (slot->shard != shard)
      continue;
    if (text->len > begin)
      g_string_append_c (text, ',');
    append_slot (text, slot);
  }
  g_string_append_c (text, '}');
  while (text->len % 8 != 0)
    g_string_append_c (text, ' ');
  const guint64 length = GUINT64_TO_LE ((guint64) text->len - 8);
  memcpy (text->str, &length, 8);
  return text;
}

GString *
afp_safetensors_make_index (const AfpSafetensorsLayout *layout, const char *location)
{
  g_autoptr (GPtrArray) files = afp_safetensors_list_shards (location, layout->payloads->len);
  guint64 total = 0;

  for (guint i = 0; i < layout->payloads->len; i++)
    total += g_array_index (layout->payloads, guint64, i);
  GString *text = g_string_new (NULL);
  g_string_append_printf (text,
                          "{\n  \"metadata\": {\n    \"total_size\": %" G_GUINT64_FORMAT
                          "\n  },\n  \"weight_map\": {",
                          total);
  for (guint i = 0; i < layout->slots->len; i++) {
    const AfpSafetensorsSlot *slot = &g_array_index (layout->slots, AfpSafetensorsSlot, i);
    g_autofree char *file = g_path_get_basename (files->pdata[slot->shard]);
    g_string_append (text, i > 0 ? ",\n    " : "\n    ");
    append_string (text, afp_spec_get_name (slot->spec));
    g_string_append (text, ": ");
    append_string (text, file);
  }
  g_string_append (text, "\n  }\n}\n");
  return text;
}

/* --- names of files ---------------------------------------------------------------------------------------------- */

/* The location without its extension. */
static char *
get_stem (const char *location)
{
  const gsize n = strlen (location), suffix = strlen (SUFFIX);
  const gboolean has = n >= suffix && g_ascii_strcasecmp (location + n - suffix, SUFFIX) == 0;

  return g_strndup (location, has ? n - suffix : n);
}

char *
afp_safetensors_index_name (const char *location)
{
  g_autofree char *stem = get_stem (location);

  return g_strconcat (stem, SUFFIX ".index.json", NULL);
}

GPtrArray *
afp_safetensors_list_shards (const char *location, guint n_shards)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *stem = get_stem (location);

  for (guint i = 0; i < n_shards; i++)
    g_ptr_array_add (
        files, n_shards == 1 ? g_strdup (location)
                             : g_strdup_printf ("%s-%05u-of-%05u" SUFFIX, stem, i + 1, n_shards));
  return files;
}

/* "-00001-of-00002.safetensors" */
static gboolean
is_shard_ending (const char *text)
{
  static const char pattern[] = "-NNNNN-of-NNNNN" SUFFIX;

  if (strlen (text) != strlen (pattern))
    return FALSE;
  for (gsize i = 0; pattern[i] != '\0'; i++)
    if (pattern[i] == 'N' ? !g_ascii_isdigit (text[i]) : text[i] != pattern[i])
      return FALSE;
  return TRUE;
}

static int
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
afp_safetensors_list_existing (const char *location)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *stem = get_stem (location), *base = g_path_get_basename (stem);
  g_autofree char *folder = g_path_get_dirname (location);
  g_autofree char *index = afp_safetensors_index_name (location);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, base) && is_shard_ending (name + strlen (base)))
      g_ptr_array_add (files, g_strconcat (stem, name + strlen (base), NULL));
  g_ptr_array_sort (files, compare_texts);
  if (g_file_test (location, G_FILE_TEST_EXISTS))
    g_ptr_array_add (files, g_strdup (location));
  if (g_file_test (index, G_FILE_TEST_EXISTS))
    g_ptr_array_add (files, g_steal_pointer (&index));
  return files;
}
