/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-recipe.h"

#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-registry.h"

#include <string.h>

/* Limits on text from outside. They are stated in afpipe-file(5). */
#define MAX_LENGTH 8192
#define MAX_DEPTH 16
#define MAX_NODES 4096
#define MAX_NAME 64
#define MAX_ELEMENTS \
  (G_GUINT64_CONSTANT (1) << 48) /* of a coded plane: what codecs add to it stays far below 2^64 */

/* --- text to nodes ------------------------------------------------------------------------------------------------ */

typedef struct _Node Node;
struct _Node {
  char *name;
  char *codec; /* NULL: a leaf */
  char *params;
  guint version;
  Node *first, *last, *next;
};

static void
node_free (Node *node)
{
  while (node) {
    Node *next = node->next;
    node_free (node->first);
    g_free (node->name);
    g_free (node->codec);
    g_free (node->params);
    g_free (node);
    node = next;
  }
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Node, node_free)

typedef struct {
  const char *text;
  const char *at;
  guint n_nodes;
} Parser;

static gpointer
fail_at (const Parser *parser, GError **error, const char *what)
{
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "damaged recipe: %s at column %u, before \"%.24s\"; the file it came from is damaged", what,
      (guint) (parser->at - parser->text) + 1, parser->at);
  return NULL;
}

static char *
parse_word (Parser *parser, GError **error, const char *what)
{
  const char *start = parser->at;

  while (g_ascii_isalnum (*parser->at) || (*parser->at && strchr ("-_.", *parser->at)))
    parser->at++;
  if (parser->at == start || parser->at - start > MAX_NAME)
    return fail_at (parser, error, what);
  return g_strndup (start, parser->at - start);
}

static gboolean
parse_codec (Parser *parser, Node *node, GError **error)
{
  guint64 version = 0;

  parser->at++;
  node->codec = parse_word (parser, error, "the name of a codec is expected");
  if (!node->codec)
    return FALSE;
  if (*parser->at != '/' || !g_ascii_isdigit (parser->at[1]))
    return fail_at (parser, error, "'/' and the version of a codec are expected") != NULL;
  for (parser->at++; g_ascii_isdigit (*parser->at) && version <= G_MAXINT; parser->at++)
    version = version * 10 + (guint64) (*parser->at - '0');
  if (version > G_MAXINT)
    return fail_at (parser, error, "the version of a codec is too large") != NULL;
  node->version = (guint) version;
  if (*parser->at == '(') {
    const char *start = ++parser->at;
    while ((guchar) *parser->at > ' ' && *parser->at != 0x7f && !strchr ("(){}", *parser->at))
      parser->at++;
    if (*parser->at != ')')
      return fail_at (parser, error, "')' is expected after the parameters") != NULL;
    node->params = g_strndup (start, parser->at++ - start);
  } else
    node->params = g_strdup ("");
  return TRUE;
}

static Node *
parse_node (Parser *parser, guint depth, GError **error)
{
  g_autoptr (Node) node = g_new0 (Node, 1);

  if (depth > MAX_DEPTH)
    return fail_at (parser, error, "more than 16 levels");
  if (++parser->n_nodes > MAX_NODES)
    return fail_at (parser, error, "more than 4096 planes");
  node->name = parse_word (parser, error, "the name of a plane is expected");
  if (!node->name)
    return NULL;
  if (*parser->at != '=')
    return g_steal_pointer (&node);
  if (!parse_codec (parser, node, error))
    return NULL;
  if (*parser->at != '{')
    return g_steal_pointer (&node);
  if (parser->at[1] == '}') {
    parser->at += 2;
    return g_steal_pointer (&node);
  }
  do {
    parser->at++;
    Node *child = parse_node (parser, depth + 1, error);
    if (!child)
      return NULL;
    if (node->last)
      node->last->next = child;
    else
      node->first = child;
    node->last = child;
  } while (*parser->at == ',');
  if (*parser->at != '}')
    return fail_at (parser, error, "',' or '}' is expected");
  parser->at++;
  return g_steal_pointer (&node);
}

static Node *
parse_recipe (const char *text, GError **error)
{
  Parser parser = { text, text, 0 };

  if (strnlen (text, MAX_LENGTH + 1) > MAX_LENGTH) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged recipe: %zu characters, at most %d are allowed", strlen (text),
                 MAX_LENGTH);
    return NULL;
  }
  /* Errors quote it. */
  while (g_ascii_isprint (*parser.at) || *parser.at == '\t')
    parser.at++;
  if (*parser.at != '\0') {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged recipe: the byte 0x%02x at column %u is no printable ASCII character; "
                 "the file it came from is damaged",
                 (guchar) *parser.at, (guint) (parser.at - text) + 1);
    return NULL;
  }
  parser.at = text;
  g_autoptr (Node) node = parse_node (&parser, 1, error);
  if (node && *parser.at != '\0')
    return fail_at (&parser, error, "the end is expected");
  if (node && !g_str_equal (node->name, "weight")) {
    parser.at = text;
    return fail_at (&parser, error, "the first plane must be 'weight'");
  }
  return g_steal_pointer (&node);
}

/* --- nodes to planes ---------------------------------------------------------------------------------------------- */

typedef struct {
  AfpSpec *spec;
  AfpRecipeData data;
  gpointer user_data;
  guint n_leaves;
  GString *path;
} Builder;

static AfpPlane *
build_node (Builder *builder, const Node *node, const AfpPlaneDesc *desc, GError **error);

static gboolean
check_elements (const Builder *builder, const AfpPlaneDesc *desc, GError **error)
{
  guint64 n;

  if (g_uint64_checked_mul (&n, desc->rows, desc->cols) && n <= MAX_ELEMENTS &&
      desc->rows <= MAX_ELEMENTS && desc->cols <= MAX_ELEMENTS)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "damaged recipe: '%s' is too large to be coded: %" G_GUINT64_FORMAT
               " rows of %" G_GUINT64_FORMAT,
               builder->path->str, desc->rows, desc->cols);
  return FALSE;
}

static AfpPlane *
build_leaf (Builder *builder, const AfpPlaneDesc *desc, GError **error)
{
  const char *path = builder->path->str;
  const gboolean is_root = strchr (path, '/') == NULL;
  const guint leaf = builder->n_leaves++;
  g_autoptr (GBytes) bytes = NULL;

  if (!is_root && afp_plane_desc_is_float (desc)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged recipe: plane '%s' holds numbers (%s) but no codec stores it", path,
                 afp_plane_kind_name (desc->kind));
    return NULL;
  }
  if (!is_root && !check_elements (builder, desc, error))
    return NULL;
  if (builder->data) {
    bytes = builder->data (leaf, desc, path, builder->user_data, error);
    if (!bytes)
      return NULL;
    const guint64 size = g_bytes_get_size (bytes);
    const guint64 expected =
        is_root ? afp_spec_get_n_bytes (builder->spec) : afp_plane_desc_bytes (desc);
    if (desc->bound ? size > expected : size != expected) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "plane '%s' is damaged: %" G_GUINT64_FORMAT
                   " bytes are stored, its codec needs %s%" G_GUINT64_FORMAT,
                   path, size, desc->bound ? "at most " : "", expected);
      return NULL;
    }
  }
  if (is_root)
    return afp_plane_new_raw (builder->spec, bytes);
  AfpPlaneDesc actual = *desc;
  if (desc->bound && bytes && desc->bits == 8 && desc->rows == 1)
    actual.cols = g_bytes_get_size (bytes); /* as its packer left it */
  return afp_plane_new_code (&actual, bytes);
}

/* One child for each of the codec's, in its order and with its names. */
static gboolean
build_children (Builder *builder, const Node *node, AfpTransform *codec, const AfpPlaneDesc *desc,
                GPtrArray *planes, GError **error)
{
  g_autoptr (AfpLayout) layout = NULL;
  AfpPlaneDesc packed;
  guint n = 1, i = 0;

  if (AFP_IS_CODEC (codec)) {
    layout = afp_codec_describe (AFP_CODEC (codec), desc, error);
    if (!layout)
      return FALSE;
    n = afp_layout_get_n_children (layout);
  } else
    packed = afp_packer_child_desc (AFP_PACKER (codec), desc);

  for (const Node *child = node->first; child; child = child->next, i++) {
    const AfpPlaneDesc *child_desc = i >= n   ? NULL
                                     : layout ? afp_layout_get_child (layout, i)
                                              : &packed;
    if (!child_desc || !g_str_equal (child->name, child_desc->name)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "damaged recipe: '%s' (codec %s/%u) has a plane '%s' where %s is expected",
                   builder->path->str, node->codec, node->version, child->name,
                   child_desc ? child_desc->name : "none");
      return FALSE;
    }
    AfpPlane *plane = build_node (builder, child, child_desc, error);
    if (!plane)
      return FALSE;
    g_ptr_array_add (planes, plane);
  }
  if (i < n) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged recipe: '%s' (codec %s/%u) has %u planes where %u are expected",
                 builder->path->str, node->codec, node->version, i, n);
    return FALSE;
  }
  return TRUE;
}

/* A file may set what belongs to a coded format, and no other property of an element. */
static gboolean
check_params (const Node *node, GError **error)
{
  AfpElementFactory *factory = afp_registry_find (afp_registry_get_default (), node->codec);
  g_auto (GStrv) params = g_strsplit (node->params, ",", -1);

  if (!factory)
    return TRUE; /* afp_codec_find() has a better word for it */
  g_autoptr (GTypeClass) klass = g_type_class_ref (afp_element_factory_get_element_type (factory));
  for (char **param = params; *param; param++) {
    char *equals = strchr (*param, '=');
    if (!equals)
      continue; /* the rest of a value with commas */
    *equals = '\0';
    const AfpProperty *property =
        afp_element_class_find_property (AFP_ELEMENT_CLASS (klass), *param);
    if (!property || !(property->flags & AFP_PROPERTY_FORMAT)) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "damaged recipe: '%s' is no parameter of the format of codec %s/%u; or the file was written with a newer plugin",
          *param, node->codec, node->version);
      return FALSE;
    }
  }
  return TRUE;
}

/* What a codec says of a value or a plane that does not suit it is the file's fault here. */
static void
blame_file (GError *local, const Builder *builder, GError **error)
{
  if (g_error_matches (local, AFP_ERROR, AFP_ERROR_PROPERTY) ||
      g_error_matches (local, AFP_ERROR, AFP_ERROR_PLAN) ||
      g_error_matches (local, AFP_ERROR, AFP_ERROR_USAGE)) {
    local->code = AFP_ERROR_FORMAT;
    g_prefix_error (&local, "damaged recipe: '%s': ", builder->path->str);
  }
  g_propagate_error (error, local);
}

static AfpPlane *
build_coded (Builder *builder, const Node *node, const AfpPlaneDesc *desc, GError **error)
{
  g_autoptr (GPtrArray) planes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);
  GError *local = NULL;

  if (!check_elements (builder, desc, error) || !check_params (node, error))
    return NULL;
  AfpTransform *codec = afp_codec_find (node->codec, node->version, node->params, &local);
  if (!codec) {
    blame_file (local, builder, error);
    return NULL;
  }
  if (AFP_IS_CODEC (codec) ? !afp_plane_desc_is_float (desc) : desc->kind != AFP_KIND_CODE) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged recipe: codec %s/%u cannot stand for '%s', which holds %s", node->codec,
                 node->version, builder->path->str, afp_plane_kind_name (desc->kind));
    return NULL;
  }
  if (!build_children (builder, node, codec, desc, planes, &local)) {
    blame_file (local, builder, error);
    return NULL;
  }
  AfpPlane *plane = afp_plane_new_coded (desc, node->codec, node->version, node->params,
                                         planes->len, (AfpPlane **) planes->pdata);
  afp_plane_set_maker (plane, codec);
  return plane;
}

static AfpPlane *
build_node (Builder *builder, const Node *node, const AfpPlaneDesc *desc, GError **error)
{
  const gsize length = builder->path->len;
  AfpPlane *plane;

  if (length)
    g_string_append_c (builder->path, '/');
  g_string_append (builder->path, node->name);
  if (node->codec)
    plane = build_coded (builder, node, desc, error);
  else
    plane = build_leaf (builder, desc, error);
  g_string_truncate (builder->path, length);
  return plane;
}

/**
 * afp_recipe_build: (skip)
 * @recipe: text of a recipe
 * @spec: the tensor's
 * @data: (nullable): gives the bytes of each leaf plane; %NULL gives a planned tree
 * @user_data: for @data
 * @error: return location
 *
 * Builds the tree of planes that a recipe speaks of. The text may come from an untrusted file.
 *
 * Returns: (transfer full): the root; or %NULL: %AFP_ERROR_PLUGIN if a codec is missing or too old, %AFP_ERROR_FORMAT if the text or
 *   the size of a plane is damaged
 */
AfpPlane *
afp_recipe_build (const char *recipe, AfpSpec *spec, AfpRecipeData data, gpointer user_data,
                  GError **error)
{
  g_autoptr (Node) node = parse_recipe (recipe, error);

  if (!node)
    return NULL;
  g_autoptr (GString) path = g_string_new (NULL);
  g_autoptr (AfpPlane) raw = afp_plane_new_raw (spec, NULL);
  Builder builder = { .spec = spec, .data = data, .user_data = user_data, .path = path };
  return build_node (&builder, node, afp_plane_get_desc (raw), error);
}

/* --- facts about a recipe ----------------------------------------------------------------------------------------- */

static guint
count_leaves (const Node *node)
{
  guint n = node->codec == NULL;

  for (const Node *child = node->first; child; child = child->next)
    n += count_leaves (child);
  return n;
}

/**
 * afp_recipe_count_leaves:
 * @recipe: text of a recipe
 *
 * Returns: number of stored planes; %G_MAXUINT if the text is damaged
 */
guint
afp_recipe_count_leaves (const char *recipe)
{
  g_autoptr (Node) node = parse_recipe (recipe, NULL);

  return node ? count_leaves (node) : G_MAXUINT;
}

static void
list_codecs (const Node *node, GStrvBuilder *names, GHashTable *seen)
{
  if (node->codec) {
    char *name = g_strdup_printf ("%s/%u", node->codec, node->version);
    if (g_hash_table_add (seen, name))
      g_strv_builder_add (names, name);
  }
  for (const Node *child = node->first; child; child = child->next)
    list_codecs (child, names, seen);
}

/**
 * afp_recipe_list_codecs:
 * @recipe: text of a recipe
 *
 * Returns: (transfer full): "seedlm/1", "f16/1", ...: each once; empty if the text is damaged
 */
GStrv
afp_recipe_list_codecs (const char *recipe)
{
  g_autoptr (Node) node = parse_recipe (recipe, NULL);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (node)
    list_codecs (node, names, seen);
  return g_strv_builder_end (names);
}

/* --- reopen ------------------------------------------------------------------------------------------------------- */

/* Does the plane's own fallback store it? A dropped plane has nothing in it to go on with. */
static gboolean
is_fallback (AfpPlane *plane)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  const char *codec = afp_plane_get_codec (plane);

  if (!codec || !desc->fallback || !afp_plane_desc_is_float (desc) || g_str_equal (codec, "drop"))
    return FALSE;
  const gsize length = strcspn (desc->fallback, " ");
  return strlen (codec) == length && memcmp (codec, desc->fallback, length) == 0;
}

/* The coded form is frozen and said to be the fallback's, so that finalize takes it as it is. */
static AfpPlane *
reopen (AfpPlane *plane)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  const guint n = afp_plane_get_n_children (plane);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (desc, NULL);
  g_autofree AfpPlane **children = g_new (AfpPlane *, n);

  for (guint i = 0; i < n; i++)
    children[i] = afp_plane_get_child (plane, i);
  g_autoptr (AfpPlane) frozen =
      afp_plane_new_coded (desc, afp_plane_get_codec (plane), afp_plane_get_codec_version (plane),
                           afp_plane_get_params (plane), n, children);
  if (claim)
    afp_plane_set_maker (frozen, afp_claim_get_codec (claim));
  return afp_plane_new_float (desc, NULL, frozen);
}

/**
 * afp_recipe_reopen_floats: (skip)
 * @root: a tree from afp_recipe_build(), planned or with data
 *
 * What only a fallback stores becomes a float plane again, which later codecs may claim; if none does, it keeps its codes.
 *
 * Returns: (transfer full): the tree to go on with
 */
AfpPlane *
afp_recipe_reopen_floats (AfpPlane *root)
{
  g_autoptr (AfpPlane) result = afp_plane_ref (root);

  for (guint i = 0; i < afp_plane_get_n_children (root); i++) {
    AfpPlane *child = afp_plane_get_child (root, i);
    g_autoptr (AfpPlane) open =
        is_fallback (child) ? reopen (child) : afp_recipe_reopen_floats (child);
    if (open != child) {
      AfpPlane *copy = afp_plane_replace_child (result, i, open);
      afp_plane_unref (result);
      result = copy;
    }
  }
  return g_steal_pointer (&result);
}
