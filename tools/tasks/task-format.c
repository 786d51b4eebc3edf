/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "task-format.h"

#include <math.h>
#include <string.h>

/* --- what formats share ------------------------------------------------------------------------------------------- */

static const char *
need_text (const AfpJsonLines *lines, JsonObject *in, const char *name, GError **error)
{
  const char *text = afp_json_get_text (in, name, NULL);

  if (!text)
    afp_json_lines_fail (lines, error, "it has no text '%s'", name);
  return text;
}

/* A text of an array, or NULL. */
static const char *
text_element (JsonArray *array, guint index)
{
  JsonNode *node = json_array_get_element (array, index);

  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

/* The number of one of @n choices, written as a decimal number. */
static gboolean
read_index (const AfpJsonLines *lines, const char *text, guint n, guint *index, GError **error)
{
  guint64 value;

  if (g_ascii_string_to_unsigned (text, 10, 0, n - 1, &value, NULL)) {
    *index = (guint) value;
    return TRUE;
  }
  return afp_json_lines_fail (
      lines, error, "the label is '%s'; of %u choices it must be one of 0 to %u", text, n, n - 1);
}

static void
put_question (JsonObject *out, const char *question, JsonArray *choices, guint answer)
{
  json_object_set_string_member (out, "question", question);
  json_object_set_array_member (out, "choices", choices);
  json_object_set_int_member (out, "answer", answer);
}

static void
put_asked (JsonObject *out, const char *question, JsonArray *choices, guint answer)
{
  g_autofree char *asked = g_strdup_printf ("Question: %s\nAnswer:", question);

  put_question (out, asked, choices, answer);
}

/* --- PIQA (Bisk et al. 2019) -------------------------------------------------------------------------------------- */

static gboolean
convert_piqa (const AfpJsonLines *lines, JsonObject *in, const char *label, JsonObject *out,
              GError **error)
{
  const char *goal = need_text (lines, in, "goal", error);
  const char *first = goal ? need_text (lines, in, "sol1", error) : NULL;
  const char *second = first ? need_text (lines, in, "sol2", error) : NULL;
  guint answer = 0;

  if (!second || !read_index (lines, label, 2, &answer, error))
    return FALSE;
  JsonArray *choices = json_array_new ();
  json_array_add_string_element (choices, first);
  json_array_add_string_element (choices, second);
  put_asked (out, goal, choices, answer);
  return TRUE;
}

/* --- LAMBADA (Paperno et al. 2016) -------------------------------------------------------------------------------- */

static gboolean
convert_lambada (const AfpJsonLines *lines, JsonObject *in, const char *label G_GNUC_UNUSED,
                 JsonObject *out, GError **error)
{
  const char *text = need_text (lines, in, "text", error);

  if (!text)
    return FALSE;
  json_object_set_string_member (out, "text", text);
  return TRUE;
}

/* --- HellaSwag (Zellers et al. 2019) ------------------------------------------------------------------------------ */

/* Each @from becomes @to, once from left to right. */
static char *
replace (const char *text, const char *from, const char *to)
{
  g_auto (GStrv) parts = g_strsplit (text, from, -1);

  return g_strjoinv (to, parts);
}

/* Without what stands in brackets: marks of the WikiHow pages that the texts are from. */
static char *
clean (const char *text)
{
  g_autofree char *stripped = g_strstrip (g_strdup (text)),
                  *titled = replace (stripped, " [title]", ". ");
  g_autoptr (GString) bare = g_string_new (NULL);

  for (const char *c = titled; *c; c++) {
    const gsize inside = *c == '[' ? strcspn (c, "]\n") : 0;
    if (inside > 0 && c[inside] == ']')
      c += inside;
    else
      g_string_append_c (bare, *c);
  }
  return replace (bare->str, "  ", " ");
}

/* "Then He" -> "Then he", "he" -> "He" */
static char *
capitalize (const char *text)
{
  const char *rest = *text ? g_utf8_next_char (text) : text;
  g_autofree char *first = g_utf8_strup (text, rest - text), *others = g_utf8_strdown (rest, -1);

  return g_strconcat (first, others, NULL);
}

/* The beginning, in one piece or in two. */
static char *
read_context (const AfpJsonLines *lines, JsonObject *in, GError **error)
{
  const char *a = afp_json_get_text (in, "ctx_a", NULL), *b = afp_json_get_text (in, "ctx_b", NULL);

  if (a && b) {
    g_autofree char *second = capitalize (b);
    return g_strconcat (a, " ", second, NULL);
  }
  return g_strdup (need_text (lines, in, "ctx", error));
}

static gboolean
convert_hellaswag (const AfpJsonLines *lines, JsonObject *in, const char *label, JsonObject *out,
                   GError **error)
{
  const char *activity = need_text (lines, in, "activity_label", error);
  g_autofree char *context = activity ? read_context (lines, in, error) : NULL, *number = NULL;
  JsonArray *endings = afp_json_get_array (in, "endings");
  const guint n = endings ? json_array_get_length (endings) : 0;
  const double value = afp_json_get_number (in, "label", NAN);
  guint answer = 0;

  if (!context)
    return FALSE;
  if (n < 2)
    return afp_json_lines_fail (lines, error, "it has %u 'endings'; two are the least", n);
  label = afp_json_get_text (in, "label", NULL);
  if (!label && !isnan (value))
    label = number = g_strdup_printf ("%.10g", value);
  if (!label || !*label)
    return afp_json_lines_fail (lines, error,
                                "it has no 'label': those of the test set are not published");
  if (!read_index (lines, label, n, &answer, error))
    return FALSE;
  g_autoptr (JsonArray) choices = json_array_new ();
  for (guint i = 0; i < n; i++) {
    const char *ending = text_element (endings, i);
    if (!ending)
      return afp_json_lines_fail (lines, error, "number %u of 'endings' is not a text", i);
    g_autofree char *choice = clean (ending);
    json_array_add_string_element (choices, choice);
  }
  g_autofree char *whole = g_strconcat (activity, ": ", context, NULL), *question = clean (whole);
  put_question (out, question, g_steal_pointer (&choices), answer);
  return TRUE;
}

/* --- ARC (Clark et al. 2018) -------------------------------------------------------------------------------------- */

/* A key that no choice has counts: A or 1 is the first. */
static gboolean
read_key (const AfpJsonLines *lines, const char *key, JsonArray *choices, guint *answer,
          GError **error)
{
  const guint n = json_array_get_length (choices);

  for (guint i = 0; i < n; i++) {
    JsonObject *choice = json_array_get_object_element (choices, i);
    if (strcmp (key, afp_json_get_text (choice, "label", "")) == 0) {
      *answer = i;
      return TRUE;
    }
  }
  *answer = strlen (key) != 1        ? G_MAXUINT
            : g_ascii_isdigit (*key) ? (guint) (*key - '1')
            : g_ascii_isupper (*key) ? (guint) (*key - 'A')
                                     : G_MAXUINT;
  return *answer < n ||
         afp_json_lines_fail (lines, error, "'answerKey' is '%s', which is none of the %u choices",
                              key, n);
}

/* Texts of choices; NULL on failure. */
static JsonArray *
read_arc_choices (const AfpJsonLines *lines, JsonArray *choices, GError **error)
{
  const guint n = choices ? json_array_get_length (choices) : 0;
  g_autoptr (JsonArray) texts = json_array_new ();

  if (n < 2) {
    afp_json_lines_fail (lines, error, "its question has %u 'choices'; two are the least", n);
    return NULL;
  }
  for (guint i = 0; i < n; i++) {
    JsonNode *node = json_array_get_element (choices, i);
    const char *text = JSON_NODE_HOLDS_OBJECT (node)
                           ? afp_json_get_text (json_node_get_object (node), "text", NULL)
                           : NULL;
    if (!text) {
      afp_json_lines_fail (lines, error, "number %u of 'choices' has no text 'text'", i);
      return NULL;
    }
    json_array_add_string_element (texts, text);
  }
  return g_steal_pointer (&texts);
}

static gboolean
convert_arc (const AfpJsonLines *lines, JsonObject *in, const char *label G_GNUC_UNUSED,
             JsonObject *out, GError **error)
{
  JsonObject *question = afp_json_get_object (in, "question");
  const double number = afp_json_get_number (in, "answerKey", NAN);
  g_autofree char *numeric = isnan (number) ? NULL : g_strdup_printf ("%.10g", number);
  guint answer = 0;

  if (!question)
    return afp_json_lines_fail (lines, error, "it has no object 'question'");
  const char *stem = need_text (lines, question, "stem", error);
  const char *key = !stem ? NULL : numeric ? numeric : need_text (lines, in, "answerKey", error);
  JsonArray *choices = afp_json_get_array (question, "choices");
  g_autoptr (JsonArray) texts = key ? read_arc_choices (lines, choices, error) : NULL;
  if (!texts || !read_key (lines, key, choices, &answer, error))
    return FALSE;
  put_asked (out, stem, g_steal_pointer (&texts), answer);
  return TRUE;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

const TaskFormat task_formats[] = {
  { "piqa", "PIQA: valid.jsonl and valid-labels.lst", TRUE, convert_piqa },
  { "lambada", "LAMBADA: texts whose last word is asked for", FALSE, convert_lambada },
  { "hellaswag", "HellaSwag: hellaswag_val.jsonl", FALSE, convert_hellaswag },
  { "arc", "ARC, Easy or Challenge: ARC-Easy-Test.jsonl and its like", FALSE, convert_arc },
  { NULL, NULL, FALSE, NULL },
};

const TaskFormat *
task_format_find (const char *name, GError **error)
{
  const char *names[G_N_ELEMENTS (task_formats)] = { NULL };
  guint n = 0;

  for (; task_formats[n].name; n++) {
    if (strcmp (task_formats[n].name, name) == 0)
      return &task_formats[n];
    names[n] = task_formats[n].name;
  }
  const char *near = afp_nearest_name (name, names, n);
  g_autofree char *all = g_strjoinv (", ", (char **) names);
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "no format '%s'%s%s%s; there are %s", name,
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
  return NULL;
}

/* Lines that are not empty. */
static GPtrArray *
split_labels (char **lines)
{
  GPtrArray *labels = g_ptr_array_new ();

  for (; lines && *lines; lines++)
    if (*g_strstrip (*lines))
      g_ptr_array_add (labels, *lines);
  return labels;
}

gboolean
task_format_convert (const TaskFormat *format, const char *text, const char *name,
                     const char *labels, const char *labels_name, GString *out, GError **error)
{
  g_auto (GStrv) label_lines = labels ? g_strsplit (labels, "\n", -1) : NULL;
  g_autoptr (GPtrArray) answers = split_labels (label_lines);
  g_auto (AfpJsonLines) lines;
  GError *local = NULL;
  JsonObject *in;
  guint n = 0;

  afp_json_lines_init (&lines, text, strlen (text), name);
  for (; (in = afp_json_lines_next (&lines, &local)) != NULL; n++) {
    g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
    json_node_take_object (node, json_object_new ());
    const char *label = n < answers->len ? answers->pdata[n] : NULL;
    if (format->labels && !label)
      afp_json_lines_fail (&lines, &local, "there is no label for it: '%s' has %u", labels_name,
                           answers->len);
    else
      format->convert (&lines, in, label, json_node_get_object (node), &local);
    if (local)
      break;
    g_autofree char *line = json_to_string (node, FALSE);
    g_string_append_printf (out, "%s\n", line);
  }
  if (!local && n < answers->len)
    g_set_error (&local, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' has %u labels, '%s' %u questions",
                 labels_name, answers->len, name, n);
  if (!local && n == 0)
    g_set_error (&local, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' has no question in it", name);
  if (local)
    g_propagate_error (error, local);
  return local == NULL;
}
