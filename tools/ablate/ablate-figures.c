/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-figures.h"

#include <math.h>
#include <string.h>

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static JsonNode *
find_member (JsonObject *object, const char *key, JsonNodeType type)
{
  JsonNode *node = object ? json_object_get_member (object, key) : NULL;

  return node && JSON_NODE_TYPE (node) == type ? node : NULL;
}

double
ablate_json_number (JsonObject *object, const char *key)
{
  JsonNode *node = find_member (object, key, JSON_NODE_VALUE);
  const GType type = node ? json_node_get_value_type (node) : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_double (node) : NAN;
}

const char *
ablate_json_text (JsonObject *object, const char *key)
{
  JsonNode *node = find_member (object, key, JSON_NODE_VALUE);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node)
                                                                  : NULL;
}

JsonObject *
ablate_json_object (JsonObject *object, const char *key)
{
  JsonNode *node = find_member (object, key, JSON_NODE_OBJECT);

  return node ? json_node_get_object (node) : NULL;
}

JsonArray *
ablate_json_array (JsonObject *object, const char *key)
{
  JsonNode *node = find_member (object, key, JSON_NODE_ARRAY);

  return node ? json_node_get_array (node) : NULL;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

void
ablate_put_text (GString *out, const char *text)
{
  for (const char *p = text ? text : ""; *p; p++)
    switch (*p) {
    case '&':
      g_string_append (out, "&amp;");
      break;
    case '<':
      g_string_append (out, "&lt;");
      break;
    case '>':
      g_string_append (out, "&gt;");
      break;
    case '"':
      g_string_append (out, "&quot;");
      break;
    case '\'':
      g_string_append (out, "&#39;");
      break;
    default:
      if ((guchar) *p < 0x20 && !strchr ("\t\n\r", *p))
        g_string_append (out, "\xef\xbf\xbd"); /* the replacement character */
      else
        g_string_append_c (out, *p);
    }
}

static void
put_formatted (GString *out, const char *format, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE + 32];

  g_string_append (out, g_ascii_formatd (text, sizeof text, format, value));
}

void
ablate_put_number (GString *out, double value, int digits)
{
  char format[16];

  if (!isfinite (value)) {
    g_string_append (out, "–");
    return;
  }
  if (fabs (value) >= 1e5 && fabs (value) < 1e15 && value == floor (value)) {
    g_string_append_printf (out, "%.0f", value); /* bytes */
    return;
  }
  g_snprintf (format, sizeof format, "%%.%dg", digits);
  put_formatted (out, format, value == 0 ? 0 : value); /* no -0 */
}

void
ablate_put_length (GString *out, double value)
{
  put_formatted (out, "%.2f", isfinite (value) ? value : 0);
}

/* --- axes --------------------------------------------------------------------------------------------------------- */

static const AblateAxis axes[] = {
  { "bits_per_weight", "bits per weight", -1, FALSE, 4 },
  { "file_bits_per_weight", "bits per weight of the file", -1, FALSE, 4 },
  { "bytes", "bytes of the planes", -1, FALSE, 6 },
  { "file_bytes", "bytes of the file", -1, FALSE, 6 },
  { "sqnr_db", "SQNR, dB", 1, FALSE, 4 },
  { "nmse", "NMSE", -1, TRUE, 4 },
  { "nll", "negative log-likelihood, nats per token", -1, FALSE, 5 },
  { "nll_loss", "loss of log-likelihood against the original", -1, FALSE, 4 },
  { "perplexity", "perplexity", -1, TRUE, 4 },
  { "kl_mean", "Kullback-Leibler divergence from the original, nats", -1, TRUE, 4 },
  { "accuracy", "accuracy", 1, FALSE, 4 },
  { "top1_agreement", "agreement with the original's first choice", 1, FALSE, 4 },
  { "ratio_fp16", "times smaller than fp16", 1, FALSE, 4 },
  { "ratio_input", "times smaller than the input", 1, FALSE, 4 },
  { "seconds", "seconds", -1, TRUE, 3 },
  { "peak_rss_bytes", "peak memory, bytes", -1, FALSE, 6 },
};

const AblateAxis *
ablate_axis_get (guint index)
{
  return index < G_N_ELEMENTS (axes) ? &axes[index] : NULL;
}

const AblateAxis *
ablate_axis_find (const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS (axes); i++)
    if (strcmp (axes[i].key, key) == 0)
      return &axes[i];
  return NULL;
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

/* "seedlm C=8 ! vptq k=16" is "seedlm ! vptq". */
static char *
make_shape (const char *chain)
{
  g_auto (GStrv) stages = g_strsplit (chain, "!", -1);
  GString *shape = g_string_new (NULL);

  for (guint i = 0; stages[i]; i++) {
    const char *name = g_strstrip (stages[i]);
    const gsize length = strcspn (name, " \t\n");
    if (length > 0)
      g_string_append_printf (shape, "%s%.*s", shape->len ? " ! " : "", (int) length, name);
  }
  return g_string_free (shape, FALSE);
}

static guint
find_series (AblateRuns *self, GHashTable *known, const char *shape)
{
  gpointer index;

  if (g_hash_table_lookup_extended (known, shape, NULL, &index))
    return GPOINTER_TO_UINT (index);
  g_hash_table_insert (known, g_strdup (shape), GUINT_TO_POINTER (self->shapes->len));
  g_ptr_array_add (self->shapes, g_strdup (shape));
  return self->shapes->len - 1;
}

static void
clear_run (gpointer run)
{
  g_free (((AblateRun *) run)->shape);
}

AblateRuns *
ablate_runs_new (JsonArray *records)
{
  AblateRuns *self = g_new0 (AblateRuns, 1);
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  self->runs = g_array_new (FALSE, TRUE, sizeof (AblateRun));
  g_array_set_clear_func (self->runs, clear_run);
  self->shapes = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; records && i < json_array_get_length (records); i++) {
    JsonNode *node = json_array_get_element (records, i);
    if (!JSON_NODE_HOLDS_OBJECT (node))
      continue;
    JsonObject *record = json_node_get_object (node);
    const double number = ablate_json_number (record, "run");
    const char *chain = ablate_json_text (record, "chain");
    AblateRun run = { .record = record,
                      .number = isfinite (number) ? (gint64) number : (gint64) i,
                      .failed = g_strcmp0 (ablate_json_text (record, "status"), "failed") == 0,
                      .chain = chain ? chain : "" };
    run.shape = make_shape (run.chain);
    run.series = find_series (self, known, run.shape);
    self->n_failed += run.failed;
    g_array_append_val (self->runs, run);
  }
  return self;
}

void
ablate_runs_free (AblateRuns *self)
{
  g_array_unref (self->runs);
  g_ptr_array_unref (self->shapes);
  g_free (self);
}

const AblateRun *
ablate_runs_get (const AblateRuns *self, guint index)
{
  return &g_array_index (self->runs, AblateRun, index);
}

const AblateRun *
ablate_runs_find (const AblateRuns *self, gint64 number)
{
  for (guint i = 0; i < self->runs->len; i++)
    if (ablate_runs_get (self, i)->number == number)
      return ablate_runs_get (self, i);
  return NULL;
}

double
ablate_run_number (const AblateRun *run, const char *key)
{
  if (run->failed)
    return NAN;
  double value = ablate_json_number (run->record, key);
  if (isnan (value))
    value = ablate_json_number (ablate_json_object (run->record, "metrics"), key);
  if (isnan (value) && strcmp (key, "sqnr_db") == 0) {
    const double nmse = ablate_json_number (run->record, "nmse");
    value = nmse > 0 ? -10 * log10 (nmse) : NAN;
  }
  return value;
}

gboolean
ablate_run_is_point (const AblateRun *run, const AblateAxis *x, const AblateAxis *y)
{
  return *run->shape && isfinite (ablate_run_number (run, x->key)) &&
         isfinite (ablate_run_number (run, y->key));
}

guint
ablate_runs_count_points (const AblateRuns *self, const AblateAxis *x, const AblateAxis *y)
{
  guint n = 0;

  for (guint i = 0; i < self->runs->len; i++)
    n += ablate_run_is_point (ablate_runs_get (self, i), x, y) ? 1 : 0;
  return n;
}

gboolean
ablate_runs_have (const AblateRuns *self, const char *key)
{
  for (guint i = 0; i < self->runs->len; i++)
    if (isfinite (ablate_run_number (ablate_runs_get (self, i), key)))
      return TRUE;
  return FALSE;
}

double
ablate_runs_get_original (const AblateRuns *self, const char *key)
{
  double value = NAN;

  for (guint i = 0; i < self->runs->len && !isfinite (value); i++)
    if (!*ablate_runs_get (self, i)->shape)
      value = ablate_run_number (ablate_runs_get (self, i), key);
  return value;
}

const AblateAxis *
ablate_runs_get_judge (const AblateRuns *self)
{
  static const char *const keys[] = { "nll", "accuracy" };

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (ablate_runs_have (self, keys[i]))
      return ablate_axis_find (keys[i]);
  return ablate_axis_find ("sqnr_db");
}

typedef struct {
  double x, y; /* less is better */
  guint index;
} Place;

static int
compare_places (gconstpointer first, gconstpointer second)
{
  const Place *a = first, *b = second;

  if (a->x != b->x)
    return a->x < b->x ? -1 : 1;
  if (a->y != b->y)
    return a->y < b->y ? -1 : 1;
  return a->index < b->index ? -1 : 1;
}

GArray *
ablate_runs_find_front (const AblateRuns *self, const AblateAxis *x, const AblateAxis *y)
{
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (Place));
  GArray *front = g_array_new (FALSE, FALSE, sizeof (guint));
  double best = INFINITY;

  for (guint i = 0; i < self->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (self, i);
    const Place place = { -x->better * ablate_run_number (run, x->key),
                          -y->better * ablate_run_number (run, y->key), i };
    if (ablate_run_is_point (run, x, y))
      g_array_append_val (places, place);
  }
  g_array_sort (places, compare_places);
  for (guint i = 0; i < places->len; i++) {
    const Place *place = &g_array_index (places, Place, i);
    if (place->y < best) {
      best = place->y;
      g_array_append_val (front, place->index);
    }
  }
  return front;
}
