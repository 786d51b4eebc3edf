/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool-util.h"

#include "afp-crash.h"
#include "afp-watch.h"

#include <locale.h>
#include <math.h>
#include <string.h>

/*
 * afpipe-info: what is in a model file, ours or another's. It reads through the element load, like any pipeline.
 */
#define TOOL "afpipe-info"

static struct {
  gboolean json, verify, compare, verbose;
} options;

static const GOptionEntry entries[] = {
  { "verify", 0, 0, G_OPTION_ARG_NONE, &options.verify,
    "Read and decode every tensor, check checksums", NULL },
  { "compare", 0, 0, G_OPTION_ARG_NONE, &options.compare,
    "Compare the values of two files, the first being the original", NULL },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, "Also list the planes of each tensor",
    NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL },
  G_OPTION_ENTRY_NULL,
};

static AfpSource *
open_file (const char *path, GError **error)
{
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "load", error);

  if (!element || !afp_element_set_property_text (element, "location", path, error))
    return NULL;
  if (options.verify && !afp_element_set_property_text (element, "verify", "true", error))
    return NULL;
  if (!afp_source_open (AFP_SOURCE (element), error))
    return NULL;
  return AFP_SOURCE (g_steal_pointer (&element));
}

/* --- one tensor --- */

typedef struct {
  JsonArray *planes;
  GHashTable *codecs; /* codec -> bytes, as double */
} Walk;

static void
add_share (GHashTable *codecs, const char *codec, double bytes)
{
  double *sum = g_hash_table_lookup (codecs, codec);

  if (!sum) {
    sum = g_new0 (double, 1);
    g_hash_table_insert (codecs, g_strdup (codec), sum);
  }
  *sum += bytes;
}

static double
plane_bytes (AfpTensor *tensor, AfpPlane *plane)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  GBytes *data = afp_plane_get_data (plane);

  if (data)
    return (double) g_bytes_get_size (data);
  return desc->kind == AFP_KIND_CODE ? (double) afp_plane_desc_bytes (desc)
                                     : (double) afp_spec_get_n_bytes (afp_tensor_get_spec (tensor));
}

static void
walk_plane (Walk *walk, AfpTensor *tensor, AfpPlane *plane, const char *parent, const char *codec)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  g_autofree char *path =
      parent ? g_strconcat (parent, "/", desc->name, NULL) : g_strdup (desc->name);

  if (afp_plane_get_codec (plane)) {
    const char *own = desc->kind == AFP_KIND_CODE ? codec : afp_plane_get_codec (plane);
    for (guint i = 0; i < afp_plane_get_n_children (plane); i++)
      walk_plane (walk, tensor, afp_plane_get_child (plane, i), path, own);
    return;
  }
  JsonObject *object = json_object_new ();
  json_object_set_string_member (object, "path", path);
  json_object_set_string_member (object, "codec", codec);
  json_object_set_int_member (object, "bits", desc->bits);
  json_object_set_int_member (object, "symbols", (gint64) (desc->rows * desc->cols));
  json_object_set_int_member (object, "bytes", (gint64) plane_bytes (tensor, plane));
  json_array_add_object_element (walk->planes, object);
  add_share (walk->codecs, codec, plane_bytes (tensor, plane));
}

static JsonObject *
tensor_to_json (AfpTensor *tensor, GHashTable *codecs, GHashTable *seen)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  JsonObject *object = json_object_new ();
  JsonArray *shape = json_array_new ();
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  const guint64 weights = afp_spec_get_n_elements (spec);
  Walk walk = { json_array_new (), codecs };
  AfpSize size;

  afp_tensor_get_size_once (tensor, seen, &size);
  for (guint i = 0; i < afp_spec_get_rank (spec); i++)
    json_array_add_int_element (shape, (gint64) afp_spec_get_shape (spec)[i]);
  walk_plane (&walk, tensor, afp_tensor_get_root (tensor), NULL, "raw");
  json_object_set_string_member (object, "name", afp_spec_get_name (spec));
  json_object_set_string_member (object, "dtype", afp_dtype_name (afp_spec_get_dtype (spec)));
  json_object_set_array_member (object, "shape", shape);
  json_object_set_string_member (object, "view", view);
  json_object_set_int_member (object, "weights", (gint64) weights);
  json_object_set_int_member (object, "bytes", (gint64) size.total);
  json_object_set_member (
      object, "bits_per_weight",
      afp_json_number_or_null (weights ? (double) size.total * 8 / (double) weights : NAN));
  json_object_set_string_member (object, "recipe", recipe);
  json_object_set_array_member (object, "planes", walk.planes);
  return object;
}

/* Decodes a tensor whole: the proof that it can be. */
static gboolean
verify_tensor (AfpTensor *tensor, AfpPool *pool, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpPlane *root = afp_tensor_get_root (tensor);

  if (afp_plane_get_desc (root)->kind == AFP_KIND_RAW)
    return TRUE;
  g_autoptr (AfpMatrix) matrix = afp_plane_open (root, spec, error);
  if (!matrix)
    return FALSE;
  g_autoptr (GBytes) dense = afp_matrix_to_dense (matrix, pool, error);
  return dense != NULL;
}

/* --- one file --- */

/* Member "extras": what goes with the model, with sizes. */
static gboolean
add_extras (AfpSource *source, JsonObject *object, GError **error)
{
  g_auto (GStrv) names = afp_source_list_extras (source);
  JsonArray *extras = json_array_new ();

  json_object_set_array_member (object, "extras", extras);
  for (char **name = names; *name; name++) {
    g_autoptr (GBytes) bytes = afp_source_read_extra (source, *name, error);
    if (!bytes)
      return FALSE;
    JsonObject *extra = json_object_new ();
    json_object_set_string_member (extra, "name", *name);
    json_object_set_int_member (extra, "bytes", (gint64) g_bytes_get_size (bytes));
    json_array_add_object_element (extras, extra);
  }
  return TRUE;
}

/* Reads what the answer needs: with data only if it is to be verified or if packed planes have their sizes there. */
static JsonNode *
file_to_json (AfpSource *source, GError **error)
{
  g_autoptr (JsonNode) node = afp_source_get_info (source);
  JsonObject *object = json_node_get_object (node);
  JsonArray *tensors = json_array_new ();
  JsonObject *shares = json_object_new ();
  g_autoptr (GHashTable) codecs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GHashTable) recipes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL); /* shared planes */
  g_autoptr (AfpPool) pool = afp_pool_new (0);
  guint64 weights = 0, bytes = 0;

  if (!add_extras (source, object, error)) {
    json_array_unref (tensors);
    json_object_unref (shares);
    return NULL;
  }
  json_object_set_array_member (object, "tensors", tensors);
  json_object_set_object_member (object, "shares", shares);
  for (gsize i = 0; i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, i, error);
    g_autoptr (AfpTensor) tensor = NULL;
    if (!planned)
      return NULL;
    if (options.verify || !afp_tensor_is_raw (planned))
      tensor = afp_source_read_tensor (source, i, error);
    else
      tensor = afp_tensor_ref (planned);
    if (!tensor || (options.verify && !verify_tensor (tensor, pool, error))) {
      g_prefix_error (error, "tensor '%s': ", afp_spec_get_name (afp_tensor_get_spec (planned)));
      return NULL;
    }
    g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, pool, error);
    if (!final)
      return NULL;
    JsonObject *entry = tensor_to_json (final, codecs, seen);
    weights += (guint64) json_object_get_int_member (entry, "weights");
    bytes += (guint64) json_object_get_int_member (entry, "bytes");
    const char *recipe = json_object_get_string_member (entry, "recipe");
    if (g_hash_table_add (recipes, g_strdup (recipe)))
      bytes += afp_size_recipe_bytes (recipe);
    json_array_add_object_element (tensors, entry);
  }
  g_autoptr (GList) names = g_list_sort (g_hash_table_get_keys (codecs), (GCompareFunc) strcmp);
  for (GList *l = names; l; l = l->next)
    json_object_set_int_member (shares, l->data,
                                (gint64) * (double *) g_hash_table_lookup (codecs, l->data));
  json_object_set_int_member (object, "weights", (gint64) weights);
  json_object_set_int_member (object, "bytes", (gint64) bytes);
  json_object_set_member (
      object, "bits_per_weight",
      afp_json_number_or_null (weights ? (double) bytes * 8 / (double) weights : NAN));
  json_object_set_boolean_member (object, "verified", options.verify);
  return g_steal_pointer (&node);
}

static void
append_facts (GString *text, JsonObject *object)
{
  static const char *const shown[] = {
    "format",        "format_version", "tool_version", "pipeline", "fingerprint", "file_bytes",
    "payload_bytes", "table_bytes",    "extras_bytes", "layout",   NULL
  };

  for (guint i = 0; shown[i]; i++) {
    JsonNode *member = json_object_get_member (object, shown[i]);
    if (!member || JSON_NODE_HOLDS_NULL (member))
      continue;
    g_autofree char *value =
        JSON_NODE_HOLDS_VALUE (member) && json_node_get_value_type (member) == G_TYPE_STRING
            ? g_strdup (json_node_get_string (member))
            : json_to_string (member, FALSE);
    g_string_append_printf (text, "%s: %s\n", shown[i], value);
  }
  static const char *const structured[] = { "plugins", "metrics", "notes", "files", NULL };
  for (guint i = 0; structured[i]; i++) {
    JsonNode *member = json_object_get_member (object, structured[i]);
    if (!member || JSON_NODE_HOLDS_NULL (member))
      continue;
    g_autofree char *value = json_to_string (member, FALSE);
    g_string_append_printf (text, "%s: %s\n", structured[i], value);
  }
}

/* "extras: config.json 437 bytes, tokenizer.json 2.0 MiB" */
static void
append_extras (GString *text, JsonArray *extras)
{
  for (guint i = 0; i < json_array_get_length (extras); i++) {
    JsonObject *extra = json_array_get_object_element (extras, i);
    g_autofree char *bytes =
        afp_format_bytes ((guint64) json_object_get_int_member (extra, "bytes"));
    g_string_append_printf (text, "%s%s %s",
                            i ? ", " : "extras: ", json_object_get_string_member (extra, "name"),
                            bytes);
  }
  if (json_array_get_length (extras))
    g_string_append_c (text, '\n');
}

static void
add_planes (AfpTable *table, JsonArray *planes)
{
  for (guint i = 0; i < json_array_get_length (planes); i++) {
    JsonObject *plane = json_array_get_object_element (planes, i);
    g_autofree char *count =
        afp_format_count ((guint64) json_object_get_int_member (plane, "symbols"));
    afp_table_add_line (
        table, "    %s: %s symbols of %" G_GINT64_FORMAT " bits, %" G_GINT64_FORMAT " bytes (%s)",
        json_object_get_string_member (plane, "path"), count,
        json_object_get_int_member (plane, "bits"), json_object_get_int_member (plane, "bytes"),
        json_object_get_string_member (plane, "codec"));
  }
}

static char *
format_bits (JsonObject *object)
{
  return json_object_get_null_member (object, "bits_per_weight")
             ? g_strdup ("-")
             : g_strdup_printf ("%.4f", json_object_get_double_member (object, "bits_per_weight"));
}

static char *
file_to_text (JsonObject *object)
{
  GString *text = g_string_new (NULL);
  JsonArray *tensors = json_object_get_array_member (object, "tensors");
  JsonObject *shares = json_object_get_object_member (object, "shares");
  g_autoptr (AfpTable) table = afp_table_new ("lllrrrl");
  g_autoptr (GList) names = json_object_get_members (shares);

  append_facts (text, object);
  append_extras (text, json_object_get_array_member (object, "extras"));
  afp_table_add (table, "tensor", "dtype", "shape", "weights", "bytes", "b/weight", "recipe", NULL);
  for (guint i = 0; i < json_array_get_length (tensors); i++) {
    JsonObject *tensor = json_array_get_object_element (tensors, i);
    JsonArray *shape = json_object_get_array_member (tensor, "shape");
    g_autoptr (GString) axes = g_string_new (json_array_get_length (shape) ? NULL : "scalar");
    for (guint a = 0; a < json_array_get_length (shape); a++)
      g_string_append_printf (axes, "%s%" G_GINT64_FORMAT, a ? "x" : "",
                              json_array_get_int_element (shape, a));
    afp_table_take (
        table, g_strdup (json_object_get_string_member (tensor, "name")),
        g_strdup (json_object_get_string_member (tensor, "dtype")), g_strdup (axes->str),
        afp_format_count ((guint64) json_object_get_int_member (tensor, "weights")),
        afp_format_count ((guint64) json_object_get_int_member (tensor, "bytes")),
        format_bits (tensor), g_strdup (json_object_get_string_member (tensor, "recipe")), NULL);
    if (options.verbose)
      add_planes (table, json_object_get_array_member (tensor, "planes"));
  }
  afp_table_take (table, g_strdup ("total"), g_strdup (""), g_strdup (""),
                  afp_format_count ((guint64) json_object_get_int_member (object, "weights")),
                  afp_format_count ((guint64) json_object_get_int_member (object, "bytes")),
                  format_bits (object), NULL);
  g_autofree char *rows = afp_table_to_string (table);
  g_string_append (text, rows);
  g_string_append (text, "shares of the planes' bytes:");
  for (GList *l = names; l; l = l->next) {
    g_autofree char *bytes =
        afp_format_bytes ((guint64) json_object_get_int_member (shares, l->data));
    g_string_append_printf (text, " %s %s%s", (char *) l->data, bytes, l->next ? "," : "\n");
  }
  if (options.verify)
    g_string_append (text, "verified: every checksum is right and every tensor decodes\n");
  return g_string_free (text, FALSE);
}

static int
describe_file (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpSource) source = open_file (path, &error);
  g_autoptr (JsonNode) node = source ? file_to_json (source, &error) : NULL;

  if (!node) {
    g_prefix_error (&error, "%s: ", path);
    return tool_print_error (TOOL, error);
  }
  if (options.json)
    return tool_print_json (TOOL, node);
  g_autofree char *text = file_to_text (json_node_get_object (node));
  return tool_print_text (TOOL, text);
}

/* --- two files: a pipeline that judges the second by the first --- */

static int
print_comparison (AfpPipeline *pipeline)
{
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
  JsonArray *evals = json_object_get_array_member (json_node_get_object (report), "evals");
  JsonObject *metrics =
      json_object_get_object_member (json_array_get_object_element (evals, 0), "metrics");
  JsonArray *tensors = json_object_get_array_member (metrics, "tensors");
  static const char *const columns[] = { "nmse", "sqnr_db", "cosine", "max_abs_error" };
  g_autoptr (AfpTable) table = afp_table_new ("lrrrrr");

  if (options.json)
    return tool_print_json (
        TOOL, json_object_get_member (json_array_get_object_element (evals, 0), "metrics"));
  afp_table_add (table, "tensor", "weights", "NMSE", "SQNR dB", "cosine", "max error", NULL);
  for (guint i = 0; i <= json_array_get_length (tensors); i++) {
    JsonObject *row =
        i < json_array_get_length (tensors) ? json_array_get_object_element (tensors, i) : metrics;
    char *cells[G_N_ELEMENTS (columns)];
    for (guint c = 0; c < G_N_ELEMENTS (columns); c++)
      cells[c] = json_object_get_null_member (row, columns[c])
                     ? g_strdup ("-")
                     : g_strdup_printf ("%.6g", json_object_get_double_member (row, columns[c]));
    afp_table_take (
        table, g_strdup (row == metrics ? "total" : json_object_get_string_member (row, "name")),
        afp_format_count ((guint64) json_object_get_int_member (row, "weights")), cells[0],
        cells[1], cells[2], cells[3], NULL);
  }
  afp_table_add_line (table, "%" G_GINT64_FORMAT " of %u tensors are in both files",
                      json_object_get_int_member (metrics, "tensors_judged"),
                      json_array_get_length (tensors));
  g_autofree char *text = afp_table_to_string (table);
  return tool_print_text (TOOL, text);
}

static int
compare_files (const char *original, const char *other)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("load name=a ! eval name=b ! null", &error);
  GPtrArray *elements = pipeline ? afp_pipeline_get_elements (pipeline) : NULL;

  if (!pipeline || !afp_element_set_property_text (elements->pdata[0], "location", other, &error) ||
      !afp_element_set_property_text (elements->pdata[1], "original", original, &error) ||
      !afp_pipeline_run (pipeline, &error))
    return tool_print_error (TOOL, error);
  return print_comparison (pipeline);
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autoptr (GError) error = NULL;
  int code = 0;

  setlocale (LC_CTYPE, "");
  afp_crash_set_hook (afp_watch_on_signal);
  afp_crash_install (TOOL);
  if (!tool_parse_options (
          TOOL, "FILE", "Tells what is in a model file: tensors, planes, recipes, bytes, metrics.",
          "With --compare: " TOOL " --compare ORIGINAL FILE\n", entries, &arguments, &code))
    return code;
  const guint n = g_strv_length (arguments) - 1, needed = options.compare ? 2 : 1;
  if (n != needed) {
    g_set_error (&error, AFP_ERROR, AFP_ERROR_USAGE, "%u file%s given, %u needed: " TOOL " %s", n,
                 n == 1 ? "" : "s", needed, options.compare ? "--compare ORIGINAL FILE" : "FILE");
    return tool_print_error (TOOL, error);
  }
  return options.compare ? compare_files (arguments[1], arguments[2])
                         : describe_file (arguments[1]);
}
