/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/**
 * AfpPropertyType: how a property is stored in the instance:
 * BOOL gboolean; UINT guint; INT gint; SIZE guint64 (suffixes k M G T = powers of 1024, kB MB GB TB = powers of 1000);
 * DOUBLE double; STRING char* (owned); ENUM gint, index into @values; FLAGS guint, bit i = @values[i] ("a,b,c", "all", "none")
 */
typedef enum {
  AFP_PROPERTY_BOOL,
  AFP_PROPERTY_UINT,
  AFP_PROPERTY_INT,
  AFP_PROPERTY_SIZE,
  AFP_PROPERTY_DOUBLE,
  AFP_PROPERTY_STRING,
  AFP_PROPERTY_ENUM,
  AFP_PROPERTY_FLAGS
} AfpPropertyType;

typedef enum {
  AFP_PROPERTY_AUTO = 1 << 0,     /* UINT, SIZE: "auto" is stored as 0 */
  AFP_PROPERTY_FORMAT = 1 << 1,   /* part of the coded format: written into recipes */
  AFP_PROPERTY_REQUIRED = 1 << 2, /* planning fails while it is unset */
  AFP_PROPERTY_FILE = 1 << 3,     /* a path: left out of the canonical pipeline text in files */
  AFP_PROPERTY_RUN = 1 << 4 /* how a run goes about it, not what comes out: left out likewise */
} AfpPropertyFlags;

/**
 * AfpProperty:
 * @name: long name in the field's terms ("block-size")
 * @alias: the paper's symbol ("C"), or NULL
 * @offset: of the field in the instance struct (or in the private struct of a base class)
 * @min, @max: range of numbers
 * @def: default, as text; NULL for an unset string
 * @values: NULL-terminated nicks of ENUM and FLAGS
 * @unit: "bits", "weights", ... or NULL
 * @blurb: one sentence
 *
 * A property is declared once, here; the tools, docs and errors all read this table.
 */
typedef struct {
  const char *name;
  const char *alias;
  AfpPropertyType type;
  AfpPropertyFlags flags;
  gsize offset;
  double min, max;
  const char *def;
  const char *const *values;
  const char *unit;
  const char *blurb;
} AfpProperty;

/* Table rows. S: instance struct, f: field. */
#define AFP_PROP(name, alias, type, flags, S, f, min, max, def, values, unit, blurb)           \
  {                                                                                            \
    name, alias, AFP_PROPERTY_##type, (AfpPropertyFlags) (flags), G_STRUCT_OFFSET (S, f), min, \
        max, def, values, unit, blurb                                                          \
  }
#define AFP_PROP_BOOL(name, alias, flags, S, f, def, blurb) \
  AFP_PROP (name, alias, BOOL, flags, S, f, 0, 1, def, NULL, NULL, blurb)
#define AFP_PROP_UINT(name, alias, flags, S, f, min, max, def, unit, blurb) \
  AFP_PROP (name, alias, UINT, flags, S, f, min, max, def, NULL, unit, blurb)
#define AFP_PROP_INT(name, alias, flags, S, f, min, max, def, unit, blurb) \
  AFP_PROP (name, alias, INT, flags, S, f, min, max, def, NULL, unit, blurb)
#define AFP_PROP_SIZE(name, alias, flags, S, f, min, max, def, unit, blurb) \
  AFP_PROP (name, alias, SIZE, flags, S, f, min, max, def, NULL, unit, blurb)
#define AFP_PROP_DOUBLE(name, alias, flags, S, f, min, max, def, unit, blurb) \
  AFP_PROP (name, alias, DOUBLE, flags, S, f, min, max, def, NULL, unit, blurb)
#define AFP_PROP_STRING(name, alias, flags, S, f, def, blurb) \
  AFP_PROP (name, alias, STRING, flags, S, f, 0, 0, def, NULL, NULL, blurb)
#define AFP_PROP_ENUM(name, alias, flags, S, f, def, values, blurb) \
  AFP_PROP (name, alias, ENUM, flags, S, f, 0, 0, def, values, NULL, blurb)
#define AFP_PROP_FLAGS(name, alias, flags, S, f, def, values, blurb) \
  AFP_PROP (name, alias, FLAGS, flags, S, f, 0, 0, def, values, NULL, blurb)

/* Parses @text into the field at @field. Errors (AFP_ERROR_PROPERTY) name the value, the range or the possible values, and the default. */
AFP_API gboolean afp_property_parse (const AfpProperty *property, const char *text, gpointer field,
                                     GError **error);
/* Canonical text of the value: parses back to the same value. NULL for an unset string. */
AFP_API char *afp_property_format (const AfpProperty *property, gconstpointer field);
/* "1..256 weights, default 8" / "tensor | row | none, default tensor" */
AFP_API char *afp_property_describe_range (const AfpProperty *property);
AFP_API void afp_property_clear (const AfpProperty *property, gpointer field);
AFP_API GParamSpec *afp_property_to_pspec (const AfpProperty *property);
/* A size with a suffix: "64M" = 2^26, "64MB" = 64*10^6, "1.5G". */
AFP_API gboolean afp_parse_size (const char *text, guint64 *size);

/**
 * AfpPreset: a named set of property values of an element ("block-size=8 rank=3").
 */
typedef struct {
  const char *name;
  const char *values;
  const char *blurb;
} AfpPreset;

G_END_DECLS
