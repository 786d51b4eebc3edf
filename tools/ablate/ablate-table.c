/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-table.h"

#include "ablate-group.h"
#include "afp-table.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

/* --- the order --- */

static const char *const number_keys[] = {
  "bits_per_weight",
  "bytes",
  "file_bytes",
  "file_bits_per_weight",
  "ratio_input",
  "ratio_fp16",
  "ratio_fp32",
  "nmse",
  "sqnr_db",
  "nll",
  "nll_loss",
  "nll_per_byte",
  "perplexity",
  "kl_mean",
  "top1",
  "same_top1",
  "accuracy",
  "accuracy_loss",
  "seconds",
  "peak_rss_bytes",
  "run",
};

typedef struct {
  char *name;
  gboolean turned, choice;
} Key;

struct _AfpSort {
  GArray *keys; /* Key */
};

static void
key_clear (gpointer key)
{
  g_free (((Key *) key)->name);
}

static gboolean
is_choice (const AfpStudy *study, const char *name)
{
  for (guint i = 0; i < study->names->len; i++)
    if (strcmp (study->names->pdata[i], name) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
add_key (AfpSort *self, const char *word, const AfpStudy *study, GError **error)
{
  const gboolean turned = word[0] == '-';
  const char *name = strcmp (word + turned, "bpw") == 0 ? "bits_per_weight" : word + turned;
  Key key = { NULL, turned, is_choice (study, name) };

  gboolean known = key.choice || strcmp (name, "chain") == 0;
  for (guint i = 0; i < G_N_ELEMENTS (number_keys) && !known; i++)
    known = strcmp (name, number_keys[i]) == 0;
  if (!known) {
    g_autoptr (GString) names = g_string_new ("chain, bpw");
    for (guint i = 0; i < G_N_ELEMENTS (number_keys); i++)
      g_string_append_printf (names, ", %s", number_keys[i]);
    for (guint i = 0; i < study->names->len; i++)
      g_string_append_printf (names, ", %s", (char *) study->names->pdata[i]);
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--sort: there is no '%s' to sort by; there are %s", name, names->str);
    return FALSE;
  }
  key.name = g_strdup (name);
  g_array_append_val (self->keys, key);
  return TRUE;
}

AfpSort *
afp_sort_new (const char *text, const AfpStudy *study, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);
  g_autoptr (AfpSort) self = g_new0 (AfpSort, 1);

  self->keys = g_array_new (FALSE, FALSE, sizeof (Key));
  g_array_set_clear_func (self->keys, key_clear);
  if (!*words && !add_key (self, "", study, error)) /* no key is no name of one */
    return NULL;
  for (char **word = words; *word; word++)
    if (!add_key (self, g_strstrip (*word), study, error))
      return NULL;
  return g_steal_pointer (&self);
}

void
afp_sort_free (AfpSort *self)
{
  g_array_unref (self->keys);
  g_free (self);
}

/* Choices are texts, most of them numbers. */
static double
get_choice (const AfpGroup *group, const char *name, const char **text)
{
  JsonObject *choices = afp_json_get_object (group->first, "choices");
  char *end;

  *text = choices ? afp_json_get_text (choices, name, NULL) : NULL;
  if (!*text)
    return choices ? afp_json_get_number (choices, name, NAN) : NAN;
  const double value = g_ascii_strtod (*text, &end);
  return *end ? NAN : value;
}

static int
compare_numbers (double a, double b, gboolean turned)
{
  const int order = (a > b) - (a < b);

  if (isnan (a) || isnan (b)) /* what is not known comes last */
    return isnan (a) - isnan (b);
  return turned ? -order : order;
}

static int
compare_by_key (const Key *key, const AfpGroup *a, const AfpGroup *b)
{
  const char *text_a = NULL, *text_b = NULL;
  double x, y;

  if (key->choice) {
    x = get_choice (a, key->name, &text_a);
    y = get_choice (b, key->name, &text_b);
  } else if (strcmp (key->name, "chain") == 0) {
    text_a = a->name;
    text_b = b->name;
    x = y = NAN;
  } else {
    x = afp_group_mean (a, key->name);
    y = afp_group_mean (b, key->name);
  }
  if (isnan (x) && isnan (y) && text_a && text_b)
    return strcmp (text_a, text_b) * (key->turned ? -1 : 1);
  return compare_numbers (x, y, key->turned);
}

static int
compare_groups (gconstpointer a, gconstpointer b, gpointer data)
{
  const AfpSort *self = data;
  const AfpGroup *const *p = a, *const *q = b;

  for (guint i = 0; i < self->keys->len; i++) {
    const int order = compare_by_key (&g_array_index (self->keys, Key, i), *p, *q);
    if (order)
      return order;
  }
  return 0;
}

/* --- the table --- */

/* "0.0123", with the standard error of repeats: "0.0123 ± 0.0004" */
static char *
format_value (const AfpGroup *group, const char *name, const char *form)
{
  const double mean = afp_group_mean (group, name), error = afp_group_stderr (group, name);
  char number[G_ASCII_DTOSTR_BUF_SIZE], spread[G_ASCII_DTOSTR_BUF_SIZE];

  if (isnan (mean))
    return g_strdup ("-");
  g_ascii_formatd (number, sizeof number, form, mean);
  if (isnan (error))
    return g_strdup (number);
  g_ascii_formatd (spread, sizeof spread, "%.2g", error);
  return g_strdup_printf ("%s ± %s", number, spread);
}

/* The standard error that eval itself knows of, where nothing was repeated. */
static char *
format_accuracy (const AfpGroup *group)
{
  g_autofree char *text = format_value (group, "accuracy", "%.4f");
  const double error = afp_group_mean (group, "accuracy_stderr");

  if (group->records->len > 1 || isnan (error))
    return g_steal_pointer (&text);
  return g_strdup_printf ("%s ± %.4f", text, error);
}

static char *
format_percent (const AfpGroup *group, const char *name)
{
  const double mean = afp_group_mean (group, name);

  return isnan (mean) ? g_strdup ("-") : g_strdup_printf ("%.1f %%", 100 * mean);
}

static char *
format_size (const AfpGroup *group)
{
  const double bytes = afp_group_mean (group, "bytes");

  return isnan (bytes) ? g_strdup ("-") : afp_format_bytes ((guint64) bytes);
}

static gboolean
any_has (const GPtrArray *groups, const char *name)
{
  for (guint i = 0; i < groups->len; i++)
    if (!isnan (afp_group_mean (groups->pdata[i], name)))
      return TRUE;
  return FALSE;
}

static gboolean
group_is_pareto (const AfpGroup *group)
{
  for (guint i = 0; i < group->records->len; i++)
    if (afp_record_is_pareto (group->records->pdata[i], NULL))
      return TRUE;
  return FALSE;
}

static char *
format_mark (const AfpGroup *group)
{
  return g_strdup (group_is_pareto (group) ? "*" : "");
}

static char *
format_chain (const AfpGroup *group)
{
  const char *chain = afp_json_get_text (group->first, "chain", "");

  return g_strdup (*chain ? chain : "(no stage)");
}

static char *
format_choices (const AfpGroup *group)
{
  return afp_record_format_choices (group->first);
}

static char *
format_rate (const AfpGroup *group)
{
  return format_value (group, "bits_per_weight", "%.3f");
}

static char *
format_ratio (const AfpGroup *group)
{
  return format_value (group, "ratio_input", "%.2f");
}

static char *
format_nmse (const AfpGroup *group)
{
  return format_value (group, "nmse", "%.4g");
}

static char *
format_sqnr (const AfpGroup *group)
{
  return format_value (group, "sqnr_db", "%.2f");
}

static char *
format_nll (const AfpGroup *group)
{
  return format_value (group, "nll", "%.4f");
}

static char *
format_nll_loss (const AfpGroup *group)
{
  return format_percent (group, "nll_loss");
}

static char *
format_accuracy_loss (const AfpGroup *group)
{
  return format_percent (group, "accuracy_loss");
}

static char *
format_time (const AfpGroup *group)
{
  const double seconds = afp_group_mean (group, "seconds");

  return isnan (seconds) ? g_strdup ("-") : afp_format_seconds (seconds);
}

#define N_COLUMNS 13
static const struct {
  const char *head;
  char alignment;
  const char *needs; /* a number that some run must have, or NULL */
  char *(*format) (const AfpGroup *group);
} columns[N_COLUMNS] = {
  { "", 'l', NULL, format_mark },
  { "chain", 'l', NULL, format_chain },
  { "choices", 'l', NULL, format_choices },
  { "b/w", 'r', NULL, format_rate },
  { "size", 'r', NULL, format_size },
  { "ratio", 'r', NULL, format_ratio },
  { "NMSE", 'r', "nmse", format_nmse },
  { "SQNR dB", 'r', "sqnr_db", format_sqnr },
  { "NLL", 'r', "nll", format_nll },
  { "loss", 'r', "nll_loss", format_nll_loss },
  { "accuracy", 'r', "accuracy", format_accuracy },
  { "loss", 'r', "accuracy_loss", format_accuracy_loss },
  { "time", 'r', NULL, format_time },
};

static gboolean
is_shown (guint column, const GPtrArray *groups)
{
  if (columns[column].needs)
    return any_has (groups, columns[column].needs);
  if (columns[column].format != format_choices)
    return TRUE;
  for (guint i = 0; i < groups->len; i++) {
    g_autofree char *choices = format_choices (groups->pdata[i]);
    if (*choices)
      return TRUE;
  }
  return FALSE;
}

/* Of the columns that are shown; the cells behind them are NULL. @group: NULL: the heads */
static void
add_row (AfpTable *table, const gboolean *shown, const AfpGroup *group)
{
  char *c[N_COLUMNS] = { NULL };
  guint n = 0;

  for (guint i = 0; i < N_COLUMNS; i++)
    if (shown[i])
      c[n++] = group ? columns[i].format (group) : g_strdup (columns[i].head);
  afp_table_take (table, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11],
                  c[12], NULL);
}

static char *
format_rows (GPtrArray *groups)
{
  char alignment[N_COLUMNS + 1] = { 0 };
  gboolean shown[N_COLUMNS];
  guint n = 0;

  for (guint i = 0; i < N_COLUMNS; i++) {
    shown[i] = is_shown (i, groups);
    if (shown[i])
      alignment[n++] = columns[i].alignment;
  }
  g_autoptr (AfpTable) table = afp_table_new (alignment);
  add_row (table, shown, NULL);
  for (guint i = 0; i < groups->len; i++)
    add_row (table, shown, groups->pdata[i]);
  return afp_table_to_string (table);
}

static void
add_failures (GString *text, const GPtrArray *records)
{
  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    JsonObject *error = record ? afp_json_get_object (record, "error") : NULL;
    if (!error)
      continue;
    g_autofree char *choices = afp_record_format_choices (record);
    g_string_append_printf (text, "failed: %s%s%s: %s\n", afp_json_get_text (record, "chain", ""),
                            *choices ? " " : "", choices, afp_json_get_text (error, "message", ""));
  }
}

char *
afp_ablate_format_table (const GPtrArray *records, const AfpSort *sort, gboolean all)
{
  g_autoptr (GPtrArray) groups = afp_groups_new (records, all);
  GString *text = g_string_new (NULL);
  guint left_out = 0;

  g_ptr_array_sort_with_data (groups, compare_groups, (gpointer) sort);
  if (groups->len > 0) {
    g_autofree char *rows = format_rows (groups);
    g_string_append (text, rows);
    g_string_append (text, "* on a Pareto front: nothing smaller is as good\n");
  }
  for (guint i = 0; i < records->len && !all; i++)
    left_out += records->pdata[i] && afp_record_is_ok (records->pdata[i]) &&
                !afp_record_counts (records->pdata[i]);
  if (left_out)
    g_string_append_printf (text, "%u more do not meet a condition (--verbose shows them)\n",
                            left_out);
  add_failures (text, records);
  return g_string_free (text, FALSE);
}
