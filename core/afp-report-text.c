/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-report-private.h"

#include "afp-table.h"

#include <math.h>
#include <string.h>

#define AFP_REPORT_MAX_TENSORS 40
#define AFP_REPORT_MAX_CLAIMS 4 /* per stage */

/* --- cells: "-" is for what has no value --- */

static char *
afp_report_bytes_cell (double bytes)
{
  return bytes >= 0 ? afp_format_bytes ((guint64) bytes) : g_strdup ("-");
}

static char *
afp_report_number_cell (int decimals, double value)
{
  return isfinite (value) ? g_strdup_printf ("%.*f", decimals, value) : g_strdup ("-");
}

static JsonArray *
afp_report_get_array (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

static guint
afp_report_get_length (JsonArray *array)
{
  return array ? json_array_get_length (array) : 0;
}

static JsonObject *
afp_report_get_element (JsonArray *array, guint index)
{
  return afp_json_get_object (json_array_get_element (array, index));
}

/* --- stages --- */

/* "weight in 8, not weight/scale in 8 (costs more than it saves)" */
static char *
afp_report_claims_cell (JsonObject *stage)
{
  JsonArray *claims = afp_report_get_array (stage, "claims");
  guint n = afp_report_get_length (claims);
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n && i < AFP_REPORT_MAX_CLAIMS; i++) {
    JsonObject *claim = afp_report_get_element (claims, i);
    const char *path = afp_json_get_text (claim, "plane"), *why = afp_json_get_text (claim, "why");
    JsonNode *taken = claim ? json_object_get_member (claim, "taken") : NULL;
    gboolean is_taken = taken && JSON_NODE_HOLDS_VALUE (taken) && json_node_get_boolean (taken);
    double tensors = afp_json_get_number (claim, "tensors");

    g_string_append_printf (text, "%s%s%s in %.0f", text->len ? ", " : "", is_taken ? "" : "not ",
                            path ? path : "?", isfinite (tensors) ? tensors : 0);
    if (!is_taken && why && why[0])
      g_string_append_printf (text, " (%s)", why);
  }
  if (n > AFP_REPORT_MAX_CLAIMS)
    g_string_append_printf (text, ", and %u more", n - AFP_REPORT_MAX_CLAIMS);
  return g_string_free (text, FALSE);
}

static void
afp_report_print_stages (GString *out, JsonArray *stages)
{
  g_autoptr (AfpTable) table = afp_table_new ("lrrrrl");
  g_autofree char *text = NULL;

  afp_table_add (table, "stage", "bytes in", "bytes out", "ratio", "seconds", "planes", NULL);
  for (guint i = 0; i < afp_report_get_length (stages); i++) {
    JsonObject *stage = afp_report_get_element (stages, i);
    const char *name = afp_json_get_text (stage, "name");
    double in = afp_json_get_number (stage, "bytes_in"),
           bytes_out = afp_json_get_number (stage, "bytes_out");

    if (stage)
      afp_table_take (table, g_strdup (name ? name : "?"), afp_report_bytes_cell (in),
                      afp_report_bytes_cell (bytes_out),
                      afp_report_number_cell (2, bytes_out > 0 ? in / bytes_out : NAN),
                      afp_report_number_cell (2, afp_json_get_number (stage, "seconds")),
                      afp_report_claims_cell (stage), NULL);
  }
  text = afp_table_to_string (table);
  g_string_append (out, text);
}

/* "--trace stats": where the time went, and who waited for whom. */
char *
afp_report_format_trace (JsonNode *report)
{
  JsonObject *object = afp_json_get_object (report);
  JsonArray *trace = object ? afp_report_get_array (object, "trace") : NULL;
  g_autoptr (AfpTable) table = afp_table_new ("lrrrrr");

  afp_table_add (table, "stage", "calls", "bytes in", "bytes out", "seconds", "waited", NULL);
  for (guint i = 0; i < afp_report_get_length (trace); i++) {
    JsonObject *stage = afp_report_get_element (trace, i);
    const char *name = afp_json_get_text (stage, "name");

    if (stage)
      afp_table_take (table, g_strdup (name ? name : "?"),
                      afp_report_number_cell (0, afp_json_get_number (stage, "calls")),
                      afp_report_bytes_cell (afp_json_get_number (stage, "bytes_in")),
                      afp_report_bytes_cell (afp_json_get_number (stage, "bytes_out")),
                      afp_report_number_cell (3, afp_json_get_number (stage, "seconds")),
                      afp_report_number_cell (3, afp_json_get_number (stage, "wait_seconds")),
                      NULL);
  }
  return afp_table_to_string (table);
}

/* --- tensors --- */

static char *
afp_report_shape_cell (JsonObject *tensor)
{
  JsonArray *shape = afp_report_get_array (tensor, "shape");
  GString *text = g_string_new (shape ? NULL : "-");

  for (guint i = 0; i < afp_report_get_length (shape); i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i ? "x" : "",
                            json_array_get_int_element (shape, i));
  if (text->len == 0)
    g_string_append (text, "scalar");
  return g_string_free (text, FALSE);
}

static int
afp_report_compare_bytes (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x > y ? -1 : x < y;
}

/* The bytes of the smallest of the @most largest tensors; -1 if there are no more than that. */
static double
afp_report_find_threshold (JsonArray *tensors, guint most)
{
  guint n = afp_report_get_length (tensors);
  g_autofree double *bytes = NULL;

  if (most == 0 || n <= most)
    return -1;
  bytes = g_new (double, n);
  for (guint i = 0; i < n; i++) {
    double value = afp_json_get_number (afp_report_get_element (tensors, i), "bytes");

    bytes[i] = isfinite (value) ? value : 0;
  }
  qsort (bytes, n, sizeof *bytes, afp_report_compare_bytes);
  return bytes[most - 1];
}

static void
afp_report_print_tensors (GString *out, JsonArray *tensors, guint most)
{
  g_autoptr (AfpTable) table = afp_table_new ("llrrrr");
  g_autofree char *text = NULL;
  double threshold = afp_report_find_threshold (tensors, most), rest_bytes = 0;
  guint n = afp_report_get_length (tensors), shown = 0, rest = 0;

  if (n == 0 || most == 0)
    return;
  afp_table_add (table, "tensor", "shape", "dtype", "bytes", "bits/weight", "SQNR dB", NULL);
  for (guint i = 0; i < n; i++) {
    JsonObject *tensor = afp_report_get_element (tensors, i);
    const char *name = afp_json_get_text (tensor, "name"),
               *dtype = afp_json_get_text (tensor, "dtype");
    double bytes = afp_json_get_number (tensor, "bytes");

    if (!tensor || !(bytes >= threshold) || (threshold >= 0 && shown == most)) {
      rest++;
      rest_bytes += isfinite (bytes) ? bytes : 0;
      continue;
    }
    shown++;
    afp_table_take (table, g_strdup (name ? name : "?"), afp_report_shape_cell (tensor),
                    g_strdup (dtype ? dtype : "-"), afp_report_bytes_cell (bytes),
                    afp_report_number_cell (3, afp_json_get_number (tensor, "bits_per_weight")),
                    afp_report_number_cell (2, afp_json_get_number (tensor, "sqnr_db")), NULL);
  }
  if (rest)
    afp_table_take (table, g_strdup_printf ("and %u more", rest), g_strdup (""), g_strdup (""),
                    afp_report_bytes_cell (rest_bytes), NULL);
  text = afp_table_to_string (table);
  g_string_append_c (out, '\n');
  g_string_append (out, text);
}

/* --- totals --- */

/* Nothing if there is no value. */
#define AFP_REPORT_PRINT(out, format, value)        \
  G_STMT_START                                      \
  {                                                 \
    double value_ = (value);                        \
    if (isfinite (value_))                          \
      g_string_append_printf (out, format, value_); \
  }                                                 \
  G_STMT_END

static void
afp_report_print_errors (GString *out, JsonObject *object)
{
  AFP_REPORT_PRINT (out, ", NMSE %.5g", afp_json_get_number (object, "nmse"));
  AFP_REPORT_PRINT (out, ", SQNR %.2f dB", afp_json_get_number (object, "sqnr_db"));
  AFP_REPORT_PRINT (out, ", cosine %.6f", afp_json_get_number (object, "cosine"));
  AFP_REPORT_PRINT (out, ", largest error %.4g", afp_json_get_number (object, "max_abs_error"));
}

static void
afp_report_print_output (GString *out, JsonObject *output)
{
  const char *name = afp_json_get_text (output, "name"),
             *location = afp_json_get_text (output, "location");
  double weights = afp_json_get_number (output, "weights"),
         file_bytes = afp_json_get_number (output, "file_bytes");
  g_autofree char *count = afp_format_count (weights >= 0 ? (guint64) weights : 0);
  g_autofree char *bytes = afp_report_bytes_cell (afp_json_get_number (output, "bytes"));
  g_autofree char *on_disk = afp_report_bytes_cell (file_bytes);

  g_string_append_printf (out, "%s", name ? name : "output");
  if (location)
    g_string_append_printf (out, " (%s)", location);
  g_string_append_printf (out, ": %s weights, %s", count, bytes);
  AFP_REPORT_PRINT (out, ", %.4f bits per weight", afp_json_get_number (output, "bits_per_weight"));
  if (isfinite (file_bytes)) {
    g_string_append_printf (out, "\n  on disk %s", on_disk);
    AFP_REPORT_PRINT (out, ", %.4f bits per weight, all in",
                      afp_json_get_number (output, "file_bits_per_weight"));
  }
  AFP_REPORT_PRINT (out, "\n  %.2f times smaller than the input",
                    afp_json_get_number (output, "ratio_input"));
  AFP_REPORT_PRINT (out, ", %.2f than f16", afp_json_get_number (output, "ratio_fp16"));
  AFP_REPORT_PRINT (out, ", %.2f than f32", afp_json_get_number (output, "ratio_fp32"));
  if (isfinite (afp_json_get_number (output, "nmse"))) {
    g_autoptr (GString) errors = g_string_new (NULL);

    afp_report_print_errors (errors, output);
    g_string_append_printf (out, "\n  %s", errors->str + strlen (", "));
  }
  g_string_append_c (out, '\n');
}

/* What the model as a whole has lost: members with a "_loss" beside them. */
static void
afp_report_print_losses (GString *out, JsonObject *metrics)
{
  g_autoptr (GList) names = json_object_get_members (metrics);

  for (GList *l = names; l; l = l->next) {
    const char *name = l->data;
    g_autofree char *member = g_strconcat (name, "_loss", NULL);
    const double loss = afp_json_get_number (metrics, member),
                 value = afp_json_get_number (metrics, name);

    if (isfinite (loss) && isfinite (value))
      g_string_append_printf (out, ", %s %.6g (loss %.2f%%)", name, value, 100 * loss);
  }
}

static void
afp_report_print_eval (GString *out, JsonObject *eval)
{
  const char *name = afp_json_get_text (eval, "name"), *after = afp_json_get_text (eval, "after");
  JsonObject *metrics =
      eval ? afp_json_get_object (json_object_get_member (eval, "metrics")) : NULL;
  g_autoptr (GString) text = g_string_new (NULL);

  if (!metrics)
    return;
  AFP_REPORT_PRINT (text, ", %.4f bits per weight",
                    afp_json_get_number (metrics, "bits_per_weight"));
  afp_report_print_errors (text, metrics);
  afp_report_print_losses (text, metrics);
  if (text->len)
    g_string_append_printf (out, "%s%s%s: %s\n", name ? name : "eval", after ? " after " : "",
                            after ? after : "", text->str + strlen (", "));
}

static void
afp_report_print_end (GString *out, JsonObject *object)
{
  double rss = afp_json_get_number (object, "peak_rss_bytes");
  double seconds = afp_json_get_number (object, "seconds");
  g_autofree char *memory = afp_report_bytes_cell (rss);
  g_autofree char *time = afp_format_seconds (isfinite (seconds) ? seconds : 0);
  JsonObject *error = afp_json_get_object (json_object_get_member (object, "error"));
  const char *message = afp_json_get_text (error, "message");

  g_string_append_printf (out, "%s", time);
  AFP_REPORT_PRINT (out, " with %.0f threads", afp_json_get_number (object, "threads"));
  if (rss > 0)
    g_string_append_printf (out, ", at most %s of memory", memory);
  g_string_append_c (out, '\n');
  if (message)
    g_string_append_printf (out, "failed: %s\n", message);
}

/* @max_tensors: so many of the largest are listed, in the order of the model; G_MAXUINT: all; 0: none */
char *
afp_report_format (JsonNode *report, guint max_tensors)
{
  JsonObject *object = afp_json_get_object (report);
  GString *out = g_string_new (NULL);
  JsonArray *outputs, *evals, *notes;

  if (!object)
    return g_string_free (out, FALSE);
  outputs = afp_report_get_array (object, "outputs");
  evals = afp_report_get_array (object, "evals");
  notes = afp_report_get_array (object, "notes");
  afp_report_print_stages (out, afp_report_get_array (object, "stages"));
  afp_report_print_tensors (out, afp_report_get_array (object, "tensors"), max_tensors);
  if (afp_report_get_length (outputs) || afp_report_get_length (evals) ||
      afp_report_get_length (notes))
    g_string_append_c (out, '\n');
  for (guint i = 0; i < afp_report_get_length (notes); i++)
    g_string_append_printf (out, "note: %s\n", json_array_get_string_element (notes, i));
  for (guint i = 0; i < afp_report_get_length (evals); i++)
    afp_report_print_eval (out, afp_report_get_element (evals, i));
  for (guint i = 0; i < afp_report_get_length (outputs); i++)
    afp_report_print_output (out, afp_report_get_element (outputs, i));
  afp_report_print_end (out, object);
  return g_string_free (out, FALSE);
}

/**
 * afp_report_to_text:
 * @report: a report
 *
 * Returns: (transfer full): tables of its stages and of its largest tensors, totals, metrics, for people
 */
char *
afp_report_to_text (JsonNode *report)
{
  return afp_report_format (report, AFP_REPORT_MAX_TENSORS);
}
