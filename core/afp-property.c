/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-device.h"
#include "afp-error-private.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* What is shown of a typed value in a message. */
#define MAX_SHOWN 60

const char *const afp_device_values[] = { "cpu", "cuda", "auto", NULL };
static const char *const bool_values[] = { "true", "false", NULL };

/* --- texts of numbers --- */

static const char size_letters[] = "kMGT";

/**
 * afp_parse_size:
 * @text: a number with an optional suffix: k, M, G, T (or KiB, ...) are powers of 1024; kB, MB, GB, TB powers of 1000
 * @size: (out): the size
 *
 * Returns: %FALSE if @text is no size or does not fit
 */
gboolean
afp_parse_size (const char *text, guint64 *size)
{
  guint64 whole = 0, fraction = 0, scale = 1, unit = 1;
  const char *p = text;

  if (!g_ascii_isdigit (*p))
    return FALSE;
  for (; g_ascii_isdigit (*p); p++)
    if (!g_uint64_checked_mul (&whole, whole, 10) ||
        !g_uint64_checked_add (&whole, whole, (guint64) (*p - '0')))
      return FALSE;
  if (*p == '.') {
    const char *digits = ++p;
    for (; g_ascii_isdigit (*p); p++, scale *= 10) {
      if (p - digits >= 6)
        return FALSE;
      fraction = fraction * 10 + (guint64) (*p - '0');
    }
    /* A fraction needs a suffix to be a fraction of. */
    if (p == digits || *p == '\0' || *p == 'B')
      return FALSE;
  }
  if (*p != '\0' && *p != 'B') {
    const char *letter = NULL;
    for (const char *l = size_letters; *l && !letter; l++)
      if (g_ascii_tolower (*p) == g_ascii_tolower (*l))
        letter = l;
    if (!letter)
      return FALSE;
    p++;
    guint64 base = *p == 'B' ? 1000 : 1024;
    for (const char *l = size_letters; l <= letter; l++)
      unit *= base;
    if (p[0] == 'i' && p[1] == 'B')
      p++;
  }
  if (*p == 'B')
    p++;
  if (*p != '\0' || !g_uint64_checked_mul (&whole, whole, unit) ||
      !g_uint64_checked_add (&whole, whole, fraction * unit / scale))
    return FALSE;
  *size = whole;
  return TRUE;
}

static char *
format_size (guint64 size)
{
  guint power = 0;
  while (power < 4 && size > 0 && size % 1024 == 0) {
    size /= 1024;
    power++;
  }
  if (power == 0)
    return g_strdup_printf ("%" G_GUINT64_FORMAT, size);
  return g_strdup_printf ("%" G_GUINT64_FORMAT "%c", size, size_letters[power - 1]);
}

/* The shortest text that reads back as the same number. */
static char *
format_double (double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  for (int digits = 15; digits <= 17; digits++) {
    char format[8];
    g_snprintf (format, sizeof format, "%%.%dg", digits);
    g_ascii_formatd (buffer, sizeof buffer, format, value);
    if (g_ascii_strtod (buffer, NULL) == value)
      break;
  }
  return g_strdup (buffer);
}

/* --- what may be given, in words --- */

/* The limits of a number: those of the table cut to those of the type. A table row without a range has min >= max. */
static void
get_limits (const AfpProperty *property, double *min, double *max)
{
  gboolean ranged = property->min < property->max;
  *min = ranged ? property->min : -INFINITY;
  *max = ranged ? property->max : INFINITY;
  if (property->type == AFP_PROPERTY_UINT || property->type == AFP_PROPERTY_SIZE)
    *min = MAX (*min, 0);
  if (property->type == AFP_PROPERTY_UINT)
    *max = MIN (*max, (double) G_MAXUINT);
  if (property->type == AFP_PROPERTY_INT) {
    *min = MAX (*min, (double) G_MININT);
    *max = MIN (*max, (double) G_MAXINT);
  }
}

static gboolean
is_unlimited (const AfpProperty *property, double limit)
{
  switch (property->type) {
  case AFP_PROPERTY_UINT:
    return limit >= (double) G_MAXUINT;
  case AFP_PROPERTY_INT:
    return limit >= (double) G_MAXINT || limit <= (double) G_MININT;
  case AFP_PROPERTY_SIZE:
    return limit >= (double) G_MAXINT64;
  default:
    return fabs (limit) >= 1e300;
  }
}

static char *
format_limit (const AfpProperty *property, double limit)
{
  if (property->type == AFP_PROPERTY_SIZE)
    return format_size ((guint64) limit);
  return format_double (limit);
}

static void
append_number_range (GString *out, const AfpProperty *property)
{
  double min, max;
  get_limits (property, &min, &max);
  g_autofree char *low = is_unlimited (property, min) ? NULL : format_limit (property, min);
  g_autofree char *high = is_unlimited (property, max) ? NULL : format_limit (property, max);

  if ((property->flags & AFP_PROPERTY_AUTO) &&
      (property->type == AFP_PROPERTY_UINT || property->type == AFP_PROPERTY_SIZE))
    g_string_append (out, "auto or ");
  if (low && high)
    g_string_append_printf (out, "%s..%s", low, high);
  else if (low)
    g_string_append_printf (out, "%s or more", low);
  else if (high)
    g_string_append_printf (out, "%s or less", high);
  else
    g_string_append (out, property->type == AFP_PROPERTY_DOUBLE ? "a number" : "a whole number");
  if (property->unit)
    g_string_append_printf (out, " %s", property->unit);
}

static char *
range_text (const AfpProperty *property)
{
  GString *out = g_string_new (NULL);
  g_autofree char *values =
      property->values ? g_strjoinv (" | ", (char **) property->values) : NULL;

  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    g_string_append (out, "true | false");
    break;
  case AFP_PROPERTY_STRING:
    g_string_append (out, property->flags & AFP_PROPERTY_FILE ? "a file name" : "a text");
    break;
  case AFP_PROPERTY_ENUM:
    g_string_append (out, values);
    break;
  case AFP_PROPERTY_FLAGS:
    g_string_append_printf (out, "all, none or some of %s", values);
    break;
  default:
    append_number_range (out, property);
  }
  return g_string_free (out, FALSE);
}

/**
 * afp_property_describe_range:
 * @property: a row of a table
 *
 * Returns: (transfer full): what may be given, and the default: "1..256 weights, default 8"
 */
char *
afp_property_describe_range (const AfpProperty *property)
{
  g_autofree char *range = range_text (property);
  if (property->def)
    return g_strdup_printf ("%s, default %s", range,
                            *property->def ? property->def : "an empty text");
  return g_strdup_printf ("%s%s", range,
                          property->flags & AFP_PROPERTY_REQUIRED ? ", required" : "");
}

/* --- parse --- */

static char *
shown (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  if (g_utf8_strlen (valid, -1) <= MAX_SHOWN)
    return g_steal_pointer (&valid);
  g_autofree char *head = g_utf8_substring (valid, 0, MAX_SHOWN - 3);
  return g_strconcat (head, "...", NULL);
}

/* "block-size=abc<what>: give 1..256 weights (default 8)<hint>" */
static gboolean
refuse (const AfpProperty *property, const char *text, const char *what, const char *hint,
        GError **error)
{
  g_autofree char *value = shown (text);
  g_autofree char *range = range_text (property);
  g_autofree char *def = property->def && *property->def
                             ? g_strdup_printf (" (default %s)", property->def)
                             : g_strdup ("");
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "%s=%s%s: give %s%s%s", property->name, value,
               what, range, def, hint);
  return FALSE;
}

static gboolean
refuse_name (const AfpProperty *property, const char *text, const char *what, const char *word,
             const char *const *names, GError **error)
{
  g_autofree char *hint = afp_nearest_hint (word, names, g_strv_length ((char **) names));
  return refuse (property, text, what, hint, error);
}

static gboolean
check_limits (const AfpProperty *property, const char *text, double value, GError **error)
{
  double min, max;
  get_limits (property, &min, &max);
  if (value >= min && value <= max)
    return TRUE;
  return refuse (property, text, " is out of range", "", error);
}

static gboolean
parse_bool (const AfpProperty *property, const char *text, gboolean *field, GError **error)
{
  static const char *const yes[] = { "true", "yes", "on", "1", NULL };
  static const char *const no[] = { "false", "no", "off", "0", NULL };
  gboolean is_true = g_strv_contains (yes, text);
  if (!is_true && !g_strv_contains (no, text))
    return refuse_name (property, text, "", text, bool_values, error);
  *field = is_true;
  return TRUE;
}

/* Digits with an optional sign. */
static gboolean
is_whole_number (const char *text)
{
  gsize sign = *text == '-' || *text == '+' ? 1 : 0;
  return text[sign] && text[sign + strspn (text + sign, "0123456789")] == '\0';
}

static gboolean
parse_integer (const AfpProperty *property, const char *text, gpointer field, GError **error)
{
  if (!is_whole_number (text))
    return refuse (property, text, " is not a whole number", "", error);
  errno = 0;
  gint64 value = g_ascii_strtoll (text, NULL, 10);
  if (errno != 0)
    return refuse (property, text, " is out of range", "", error);
  if (!check_limits (property, text, (double) value, error))
    return FALSE;
  if (property->type == AFP_PROPERTY_UINT)
    *(guint *) field = (guint) value;
  else
    *(gint *) field = (gint) value;
  return TRUE;
}

static gboolean
parse_size (const AfpProperty *property, const char *text, guint64 *field, GError **error)
{
  static const char hint[] = "; 64M is 64*2^20, 64MB is 64*10^6";
  guint64 value;
  if (!afp_parse_size (text, &value))
    return is_whole_number (text) ? refuse (property, text, " is out of range", "", error)
                                  : refuse (property, text, " is not a size", hint, error);
  if (!check_limits (property, text, (double) value, error))
    return FALSE;
  *field = value;
  return TRUE;
}

static gboolean
parse_double (const AfpProperty *property, const char *text, double *field, GError **error)
{
  char *end;
  double value = g_ascii_strtod (text, &end);
  /* The character set keeps out blanks, hexadecimal numbers, "nan" and "inf". */
  if (end == text || *end != '\0' || text[strspn (text, "0123456789+-.eE")] != '\0')
    return refuse (property, text, " is not a number", "", error);
  if (!isfinite (value))
    return refuse (property, text, " is out of range", "", error);
  if (!check_limits (property, text, value, error))
    return FALSE;
  *field = value;
  return TRUE;
}

static gboolean
parse_enum (const AfpProperty *property, const char *text, gint *field, GError **error)
{
  for (gint i = 0; property->values[i]; i++)
    if (strcmp (property->values[i], text) == 0) {
      *field = i;
      return TRUE;
    }
  return refuse_name (property, text, "", text, property->values, error);
}

static guint
all_flags (const AfpProperty *property)
{
  guint n = g_strv_length ((char **) property->values);
  return n >= 32 ? G_MAXUINT : (1u << n) - 1;
}

static gboolean
parse_flags (const AfpProperty *property, const char *text, guint *field, GError **error)
{
  guint bits = 0;
  if (strcmp (text, "all") == 0) {
    bits = all_flags (property);
  } else if (strcmp (text, "none") != 0) {
    g_auto (GStrv) words = g_strsplit (text, ",", -1);
    if (!words[0])
      return refuse (property, text, " is empty", "", error);
    for (guint w = 0; words[w]; w++) {
      guint i = 0;
      while (property->values[i] && strcmp (property->values[i], words[w]) != 0)
        i++;
      if (!property->values[i]) {
        g_autofree char *word = shown (words[w]);
        g_autofree char *what = g_strdup_printf (": '%s' is unknown", word);
        return refuse_name (property, text, what, words[w], property->values, error);
      }
      bits |= 1u << i;
    }
  }
  *field = bits;
  return TRUE;
}

/**
 * afp_property_parse:
 * @property: a row of a table
 * @text: the value as typed
 * @field: where the value goes; unchanged after an error
 * @error: AFP_ERROR_PROPERTY, with the value, what may be given, and the default
 */
gboolean
afp_property_parse (const AfpProperty *property, const char *text, gpointer field, GError **error)
{
  if ((property->flags & AFP_PROPERTY_AUTO) && strcmp (text, "auto") == 0) {
    if (property->type == AFP_PROPERTY_UINT) {
      *(guint *) field = 0;
      return TRUE;
    }
    if (property->type == AFP_PROPERTY_SIZE) {
      *(guint64 *) field = 0;
      return TRUE;
    }
  }
  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    return parse_bool (property, text, field, error);
  case AFP_PROPERTY_UINT:
  case AFP_PROPERTY_INT:
    return parse_integer (property, text, field, error);
  case AFP_PROPERTY_SIZE:
    return parse_size (property, text, field, error);
  case AFP_PROPERTY_DOUBLE:
    return parse_double (property, text, field, error);
  case AFP_PROPERTY_STRING:
    g_free (*(char **) field);
    *(char **) field = g_strdup (text);
    return TRUE;
  case AFP_PROPERTY_ENUM:
    return parse_enum (property, text, field, error);
  case AFP_PROPERTY_FLAGS:
    return parse_flags (property, text, field, error);
  }
  g_return_val_if_reached (FALSE);
}

/* --- format --- */

static char *
format_flags (const AfpProperty *property, guint bits)
{
  if (bits == 0)
    return g_strdup ("none");
  if (bits == all_flags (property))
    return g_strdup ("all");
  GString *out = g_string_new (NULL);
  for (guint i = 0; property->values[i]; i++)
    if (bits & (1u << i))
      g_string_append_printf (out, "%s%s", out->len ? "," : "", property->values[i]);
  return g_string_free (out, FALSE);
}

/**
 * afp_property_format:
 * @property: a row of a table
 * @field: the value
 *
 * Returns: (transfer full) (nullable): canonical text that parses back to the same value; %NULL for an unset string
 */
char *
afp_property_format (const AfpProperty *property, gconstpointer field)
{
  gboolean has_auto = (property->flags & AFP_PROPERTY_AUTO) != 0;

  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    return g_strdup (*(const gboolean *) field ? "true" : "false");
  case AFP_PROPERTY_UINT:
    if (has_auto && *(const guint *) field == 0)
      return g_strdup ("auto");
    return g_strdup_printf ("%u", *(const guint *) field);
  case AFP_PROPERTY_INT:
    return g_strdup_printf ("%d", *(const gint *) field);
  case AFP_PROPERTY_SIZE:
    if (has_auto && *(const guint64 *) field == 0)
      return g_strdup ("auto");
    return format_size (*(const guint64 *) field);
  case AFP_PROPERTY_DOUBLE:
    return format_double (*(const double *) field);
  case AFP_PROPERTY_STRING:
    return g_strdup (*(char *const *) field);
  case AFP_PROPERTY_ENUM:
    return g_strdup (property->values[*(const gint *) field]);
  case AFP_PROPERTY_FLAGS:
    return format_flags (property, *(const guint *) field);
  }
  g_return_val_if_reached (NULL);
}

/**
 * afp_property_clear:
 * @property: a row of a table
 * @field: the value: a string is freed, everything becomes zero
 */
void
afp_property_clear (const AfpProperty *property, gpointer field)
{
  switch (property->type) {
  case AFP_PROPERTY_STRING:
    g_clear_pointer ((char **) field, g_free);
    break;
  case AFP_PROPERTY_SIZE:
    *(guint64 *) field = 0;
    break;
  case AFP_PROPERTY_DOUBLE:
    *(double *) field = 0;
    break;
  default:
    *(gint *) field = 0;
  }
}

/* --- GObject --- */

typedef union {
  gboolean b;
  guint u;
  gint i;
  guint64 size;
  double d;
  char *s;
} Value;

/**
 * afp_property_to_pspec:
 * @property: a row of a table
 *
 * Enums and flags become strings: their nicks are the interface.
 *
 * Returns: (transfer floating): the same as a GObject property
 */
GParamSpec *
afp_property_to_pspec (const AfpProperty *property)
{
  const char *name = property->name;
  const char *blurb = property->blurb;
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
  gboolean has_auto = (property->flags & AFP_PROPERTY_AUTO) != 0;
  g_autoptr (GError) error = NULL;
  double min, max;
  Value def = { 0 };

  get_limits (property, &min, &max);
  if (has_auto)
    min = MIN (min, 0);
  if (property->type == AFP_PROPERTY_STRING || property->type == AFP_PROPERTY_ENUM ||
      property->type == AFP_PROPERTY_FLAGS)
    return g_param_spec_string (name, name, blurb, property->def, flags);
  if (property->def && !afp_property_parse (property, property->def, &def, &error))
    g_critical ("default of a property: %s", error->message);

  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    return g_param_spec_boolean (name, name, blurb, def.b, flags);
  case AFP_PROPERTY_UINT:
    return g_param_spec_uint (name, name, blurb, (guint) min, (guint) max, def.u, flags);
  case AFP_PROPERTY_INT:
    return g_param_spec_int (name, name, blurb, (gint) min, (gint) max, def.i, flags);
  case AFP_PROPERTY_SIZE:
    return g_param_spec_uint64 (name, name, blurb, (guint64) min,
                                max >= (double) G_MAXUINT64 ? G_MAXUINT64 : (guint64) max, def.size,
                                flags);
  default:
    return g_param_spec_double (name, name, blurb, MAX (min, -G_MAXDOUBLE), MIN (max, G_MAXDOUBLE),
                                def.d, flags);
  }
}
