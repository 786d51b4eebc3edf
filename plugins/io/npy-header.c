/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "npy-header.h"

#include "io-input.h"

#include <string.h>

/*
 * The header of a .npy file: the magic, a version (major, minor), the length of the text (u16 in version 1, u32 since), and the
 * text of a Python dictionary with the keys descr, fortran_order and shape. Only what an array of plain numbers needs is
 * understood: nothing nests, and a dtype with fields is refused at its first bracket.
 */

#define MAX_DESCR 64 /* bytes */

typedef struct {
  const char *at, *end;
  const char *what;
  GError **error;
} Cursor;

/* --- the text ---------------------------------------------------------------------------------------------------- */

static gboolean
expected (Cursor *c, const char *what)
{
  if (c->at == c->end)
    return afp_input_refuse (c->error, c->what,
                             "has a damaged header: it ends where %s is expected", what);
  return afp_input_refuse (c->error, c->what, "has a damaged header: %s is expected, not '%c'",
                           what, g_ascii_isprint (*c->at) ? *c->at : '?');
}

static void
skip_blanks (Cursor *c)
{
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n'))
    c->at++;
}

/* Blanks, then this character if it is there. */
static gboolean
take (Cursor *c, char wanted)
{
  skip_blanks (c);
  if (c->at == c->end || *c->at != wanted)
    return FALSE;
  c->at++;
  return TRUE;
}

static gboolean
need (Cursor *c, char wanted)
{
  const char text[] = { '\'', wanted, '\'', '\0' };

  return take (c, wanted) || expected (c, text);
}

/* A string in quotes of either kind: plain characters, no escapes. */
static gboolean
take_string (Cursor *c, char *text, gsize n)
{
  skip_blanks (c);
  if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
    return expected (c, "a string");
  const char quote = *c->at++;
  gsize length = 0;
  while (c->at < c->end && *c->at != quote) {
    if (!g_ascii_isprint (*c->at) || *c->at == '\\')
      return expected (c, "a plain string");
    if (length + 1 == n)
      return afp_input_refuse (
          c->error, c->what, "has a damaged header: a string of %" G_GSIZE_FORMAT " and more bytes",
          n);
    text[length++] = *c->at++;
  }
  text[length] = '\0';
  return need (c, quote);
}

static gboolean
take_word (Cursor *c, const char *word)
{
  const gsize n = strlen (word);

  skip_blanks (c);
  if ((gsize) (c->end - c->at) < n || memcmp (c->at, word, n) != 0)
    return FALSE;
  c->at += n;
  return TRUE;
}

static gboolean
take_bool (Cursor *c, gboolean *value)
{
  *value = take_word (c, "True");
  return *value || take_word (c, "False") || expected (c, "True or False");
}

/* A number of digits; Python 2 wrote an L behind it. */
static gboolean
take_count (Cursor *c, guint64 *value)
{
  skip_blanks (c);
  if (c->at == c->end || !g_ascii_isdigit (*c->at))
    return expected (c, "a length >= 0");
  for (*value = 0; c->at < c->end && g_ascii_isdigit (*c->at); c->at++)
    if (!g_uint64_checked_mul (value, *value, 10) ||
        !g_uint64_checked_add (value, *value, (guint64) (*c->at - '0')))
      return afp_input_refuse (c->error, c->what, "has a shape with a length beyond 64 bits");
  if (c->at < c->end && *c->at == 'L')
    c->at++;
  return TRUE;
}

/* (), (3,), (3, 4): without a comma it would be a number. */
static gboolean
take_shape (Cursor *c, AfpNpyHeader *header)
{
  gboolean comma = TRUE;

  if (!need (c, '('))
    return FALSE;
  for (header->rank = 0; !take (c, ')'); header->rank++) {
    if (!comma)
      return expected (c, "a comma");
    if (header->rank == AFP_MAX_RANK)
      return afp_input_refuse (c->error, c->what, "has more than %d axes, which is the limit",
                               AFP_MAX_RANK);
    if (!take_count (c, &header->shape[header->rank]))
      return FALSE;
    comma = take (c, ',');
  }
  return comma || header->rank > 1 || expected (c, "a comma before the end of a shape of one axis");
}

/* --- the dtype --------------------------------------------------------------------------------------------------- */

static const struct {
  const char *descr; /* behind the byte order */
  AfpDType dtype;
} dtypes[] = {
  { "f2", AFP_DTYPE_F16 }, { "f4", AFP_DTYPE_F32 }, { "f8", AFP_DTYPE_F64 },
  { "i1", AFP_DTYPE_I8 },  { "i2", AFP_DTYPE_I16 }, { "i4", AFP_DTYPE_I32 },
  { "i8", AFP_DTYPE_I64 }, { "u1", AFP_DTYPE_U8 },  { "u2", AFP_DTYPE_U16 },
  { "u4", AFP_DTYPE_U32 }, { "u8", AFP_DTYPE_U64 }, { "b1", AFP_DTYPE_BOOL },
  { "c8", AFP_DTYPE_C64 },
};

static const char *
why_not (char kind)
{
  switch (kind) {
  case 'O':
    return "Python objects, which only a pickle can hold; pickles are not read";
  case 'V':
    return "bytes whose meaning the file does not say; bfloat16 and 8-bit floats of ml_dtypes look "
           "like that: save them as float32, or as safetensors";
  case 'S':
  case 'U':
    return "text";
  case 'M':
  case 'm':
    return "dates or times";
  case 'c':
    return "complex numbers of other than 64 bits";
  default:
    return "no type that is known here";
  }
}

static gboolean
parse_descr (const Cursor *c, const char *descr, AfpNpyHeader *header)
{
  const char order = *descr;

  for (guint i = 0; order != '\0' && i < G_N_ELEMENTS (dtypes); i++) {
    if (strcmp (descr + 1, dtypes[i].descr) != 0)
      continue;
    const gboolean single = descr[2] == '1';
    if (order != '<' && order != '>' && !(order == '|' && single))
      return afp_input_refuse (c->error, c->what,
                               "has the dtype '%s', which does not tell its byte order", descr);
    header->dtype = dtypes[i].dtype;
    header->swapped = order == '>' && !single;
    return TRUE;
  }
  return afp_input_refuse (
      c->error, c->what,
      "has the dtype '%s': %s; known are f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 c8, save it "
      "as one of these or leave it out",
      descr, why_not (order != '\0' ? descr[1] : '\0'));
}

static gboolean
take_descr (Cursor *c, AfpNpyHeader *header)
{
  char descr[MAX_DESCR];

  skip_blanks (c);
  if (c->at < c->end && (*c->at == '[' || *c->at == '('))
    return afp_input_refuse (
        c->error, c->what,
        "has a dtype with fields (a structured array): save each field as an array "
        "of its own");
  return take_string (c, descr, sizeof descr) && parse_descr (c, descr, header);
}

/* --- the dictionary ---------------------------------------------------------------------------------------------- */

static gboolean
take_item (Cursor *c, guint *seen, AfpNpyHeader *header)
{
  static const char *const keys[] = { "descr", "fortran_order", "shape" };
  char key[MAX_DESCR];
  guint i = 0;

  if (!take_string (c, key, sizeof key))
    return FALSE;
  while (i < G_N_ELEMENTS (keys) && strcmp (key, keys[i]) != 0)
    i++;
  if (i == G_N_ELEMENTS (keys) || (*seen & 1u << i))
    return afp_input_refuse (c->error, c->what, "has a damaged header: the key '%s' %s", key,
                             i == G_N_ELEMENTS (keys) ? "is unknown" : "occurs twice");
  *seen |= 1u << i;
  if (!need (c, ':'))
    return FALSE;
  return i == 0   ? take_descr (c, header)
         : i == 1 ? take_bool (c, &header->fortran)
                  : take_shape (c, header);
}

static gboolean
take_dict (Cursor *c, AfpNpyHeader *header)
{
  gboolean comma = TRUE;
  guint seen = 0;

  if (!need (c, '{'))
    return FALSE;
  while (!take (c, '}')) {
    if (!comma)
      return expected (c, "a comma");
    if (!take_item (c, &seen, header))
      return FALSE;
    comma = take (c, ',');
  }
  if (seen != 7)
    return afp_input_refuse (c->error, c->what,
                             "has a damaged header: it needs descr, fortran_order and shape");
  skip_blanks (c);
  return c->at == c->end || expected (c, "the end of the header");
}

/* --- the header -------------------------------------------------------------------------------------------------- */

/* Where the text begins and how long it is. */
static gboolean
find_text (const guint8 *data, gsize n, const char *what, gsize *begin, guint64 *length,
           GError **error)
{
  if (n < AFP_NPY_MAGIC_BYTES + 4 || memcmp (data, AFP_NPY_MAGIC, AFP_NPY_MAGIC_BYTES) != 0)
    return afp_input_refuse (error, what, "does not begin as a NumPy array does");
  const guint major = data[6], minor = data[7];
  if (major < 1 || major > 3 || minor != 0)
    return afp_input_refuse (
        error, what, "is a NumPy array of version %u.%u; known are 1.0, 2.0 and 3.0", major, minor);
  *begin = major == 1 ? 10 : 12;
  if (n < *begin)
    return afp_input_refuse (error, what, "is cut off within its header");
  *length = data[8] | (guint64) data[9] << 8;
  if (major > 1)
    *length |= (guint64) data[10] << 16 | (guint64) data[11] << 24;
  if (*length > AFP_NPY_MAX_HEADER - 12)
    return afp_input_refuse (error, what,
                             "has a header of %" G_GUINT64_FORMAT " bytes; the limit is %d",
                             *length, AFP_NPY_MAX_HEADER - 12);
  if (*length > n - *begin)
    return afp_input_refuse (error, what, "is cut off within its header");
  return TRUE;
}

/* In a row or column, and where there is nothing, both orders are the same. */
static gboolean
order_matters (const AfpNpyHeader *header)
{
  guint longer = 0;

  for (guint i = 0; i < header->rank; i++)
    if (header->shape[i] > 1)
      longer++;
  return longer > 1 && header->n_bytes > 0;
}

gboolean
afp_npy_parse (const guint8 *data, gsize n, guint64 size, const char *what, AfpNpyHeader *header,
               GError **error)
{
  guint64 length = 0, n_elements;
  gsize begin = 0;

  memset (header, 0, sizeof *header);
  if (!find_text (data, n, what, &begin, &length, error))
    return FALSE;
  Cursor cursor = { (const char *) data + begin, (const char *) data + begin + length, what,
                    error };
  if (!take_dict (&cursor, header))
    return FALSE;
  g_autofree char *why = afp_input_check_shape (header->rank, header->shape, header->dtype,
                                                &n_elements, &header->n_bytes);
  if (why != NULL)
    return afp_input_refuse (error, what, "%s", why);
  header->header_bytes = begin + length;
  header->fortran = header->fortran && order_matters (header);
  if (header->n_bytes != size - header->header_bytes)
    return afp_input_refuse (
        error, what,
        "takes %" G_GUINT64_FORMAT " bytes by its shape and dtype %s, but %" G_GUINT64_FORMAT
        " follow its header; it is cut off, or several arrays were saved in a row",
        header->n_bytes, afp_dtype_name (header->dtype), size - header->header_bytes);
  return TRUE;
}
