/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-rewrite.h"

#include <string.h>

/* Quick, and what comes of it has to be judged like what comes of any stage. */
#define QUICK_STAGE "rtn"
#define BYTES_OF_TOKEN 4 /* as a rule */

typedef struct {
  AfpAst *ast;
  GPtrArray *nodes;    /* of its chain */
  GPtrArray *elements; /* made of them; NULL: an assertion */
} Chain;

static void
unref_element (gpointer element)
{
  g_clear_object (&element);
}

static void
chain_clear (Chain *self)
{
  afp_ast_free (self->ast);
  g_clear_pointer (&self->elements, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Chain, chain_clear)

static gboolean
chain_init (Chain *self, const char *pipeline, GError **error)
{
  *self = (Chain){ afp_parse (pipeline, NULL, error), NULL,
                   g_ptr_array_new_with_free_func (unref_element) };
  if (!self->ast)
    return FALSE;
  if (self->ast->chains->len == 1)
    self->nodes = ((AfpAstChain *) self->ast->chains->pdata[0])->nodes;
  for (guint i = 0; self->nodes && i < self->nodes->len; i++) {
    const AfpAstNode *node = self->nodes->pdata[i];
    AfpElement *element = NULL;
    if (node->type == AFP_AST_ELEMENT &&
        !(element = afp_pipeline_make_element (self->ast, node, error)))
      return FALSE;
    if (node->type == AFP_AST_REFERENCE)
      break;
    g_ptr_array_add (self->elements, element);
  }
  if (self->nodes && self->elements->len == self->nodes->len && self->nodes->len >= 2 &&
      AFP_IS_SOURCE (self->elements->pdata[0]) &&
      AFP_IS_SINK (self->elements->pdata[self->elements->len - 1]))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "only one chain from a source to a sink can be tried, and '%s' is none", pipeline);
  return FALSE;
}

static void
drop (Chain *self, guint index)
{
  g_ptr_array_remove_index (self->nodes, index);
  g_ptr_array_remove_index (self->elements, index);
}

static void
rename_node (AfpAstNode *node, const char *name)
{
  g_free (node->name);
  node->name = g_strdup (name);
  g_ptr_array_set_size (node->properties, 0);
}

static char *
to_text (const Chain *self)
{
  return afp_ast_to_string (self->ast);
}

/* One element of it. */
static char *
node_to_text (const Chain *self, guint index)
{
  GPtrArray nodes = { &self->nodes->pdata[index], 1 };
  AfpAstChain chain = { &nodes };
  gpointer chains_data[] = { &chain };
  GPtrArray chains = { chains_data, 1 };

  return afp_ast_to_string (&(AfpAst){ .chains = &chains });
}

static gboolean
is_codec (const Chain *self, guint index)
{
  AfpElement *element = self->elements->pdata[index];

  return element && (AFP_IS_CODEC (element) || AFP_IS_PACKER (element));
}

/* Does it look at the whole model, before or behind? */
static gboolean
judges (const Chain *self, guint index)
{
  return self->elements->pdata[index] &&
         AFP_ELEMENT_GET_CLASS (self->elements->pdata[index])->judge;
}

static gboolean
prepares (const Chain *self, guint index)
{
  return self->elements->pdata[index] && !is_codec (self, index) &&
         AFP_ELEMENT_GET_CLASS (self->elements->pdata[index])->prepare;
}

/* What says how elements judge, but not what they are asked: the names of their properties. */
static gboolean
is_harmless (const char *name)
{
  return strcmp (name, "command") != 0 && strcmp (name, "require") != 0;
}

static void
end_in_null (Chain *self)
{
  rename_node (self->nodes->pdata[self->nodes->len - 1], "null");
}

/* --- for a piece --------------------------------------------------------------------------------------------------- */

char *
afp_rewrite_for_piece (const char *pipeline, const char *piece, char **source, gboolean *moments,
                       GError **error)
{
  g_auto (Chain) self = { 0 };

  if (!chain_init (&self, pipeline, error))
    return NULL;
  *moments = FALSE;
  for (guint i = self.nodes->len - 1; i-- > 1;) {
    if (judges (&self, i))
      g_ptr_array_set_size (((AfpAstNode *) self.nodes->pdata[i])->properties, 0);
    *moments = *moments || prepares (&self, i);
    if (!self.elements->pdata[i] || prepares (&self, i))
      drop (&self, i);
  }
  end_in_null (&self);
  *source = node_to_text (&self, 0);
  rename_node (self.nodes->pdata[0], piece);
  return to_text (&self);
}

/* --- for the rest -------------------------------------------------------------------------------------------------- */

/* Of the file at @path: what elements read of it at most; G_MAXUINT64: all */
static guint64
get_bound (AfpElement *element)
{
  g_autofree char *tokens =
      afp_element_class_find_property (AFP_ELEMENT_GET_CLASS (element), "tokens")
          ? afp_element_get_property_text (element, "tokens")
          : NULL;
  guint64 n;

  return tokens && afp_parse_size (tokens, &n) && n ? n * BYTES_OF_TOKEN : G_MAXUINT64;
}

/* The first @head bytes, up to the end of a line, in a file of @folder. Bytes of the whole; 0: it is no longer than that, or no text */
static guint64
cut_file (const char *path, const char *folder, gsize head, char **cut)
{
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);
  const gsize size = file ? g_mapped_file_get_length (file) : 0;
  const char *text = file ? g_mapped_file_get_contents (file) : NULL;

  if (size <= head || memchr (text, '\0', head))
    return 0;
  const char *end = g_strrstr_len (text, (gssize) head, "\n");
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_MD5, path, -1);
  g_autofree char *name = g_strconcat ("head-", hash, NULL);
  *cut = g_build_filename (folder, name, NULL);
  return g_file_set_contents (*cut, text, end ? end + 1 - text : (gssize) head, NULL) ? size : 0;
}

/* The files of an element cut, no program, no condition. */
static guint64
cut_files (const AfpAstNode *node, AfpElement *element, const char *folder, gsize head)
{
  const guint64 bound = get_bound (element);
  guint64 whole = 0;

  for (guint i = node->properties->len; i-- > 0;) {
    AfpAstProperty *property = node->properties->pdata[i];
    const AfpProperty *row =
        afp_element_class_find_property (AFP_ELEMENT_GET_CLASS (element), property->name);
    g_autofree char *cut = NULL;
    if (!is_harmless (property->name)) {
      g_ptr_array_remove_index (node->properties, i);
      continue;
    }
    const guint64 size =
        row && row->flags & AFP_PROPERTY_FILE ? cut_file (property->value, folder, head, &cut) : 0;
    if (size == 0)
      continue;
    g_free (property->value);
    property->value = g_steal_pointer (&cut);
    whole = MAX (whole, MIN (size, bound));
  }
  return whole;
}

static void
put_quick_stage (Chain *self, guint index)
{
  g_autoptr (AfpAst) ast = afp_parse (QUICK_STAGE, NULL, NULL);

  if (!ast || !afp_registry_find (afp_registry_get_default (), QUICK_STAGE))
    return;
  g_ptr_array_insert (self->nodes, (gint) index,
                      g_ptr_array_steal_index (((AfpAstChain *) ast->chains->pdata[0])->nodes, 0));
  g_ptr_array_insert (self->elements, (gint) index, NULL);
}

char *
afp_rewrite_for_rest (const char *pipeline, const char *folder, gsize head, AfpHeads *heads,
                      GError **error)
{
  g_auto (Chain) self = { 0 };
  guint place = 0; /* before the first that judges */

  if (!chain_init (&self, pipeline, error))
    return NULL;
  *heads = (AfpHeads){ 0, 0 };
  for (guint i = self.nodes->len - 1; i-- > 1;) {
    guint64 *whole = judges (&self, i)     ? &heads->judged
                     : prepares (&self, i) ? &heads->prepared
                                           : NULL;
    if (whole) {
      const guint64 size = cut_files (self.nodes->pdata[i], self.elements->pdata[i], folder, head);
      *whole = MAX (*whole, size);
      place = judges (&self, i) ? i : place;
    } else if (!self.elements->pdata[i] || is_codec (&self, i)) {
      drop (&self, i);
      place -= place > 0;
    }
  }
  end_in_null (&self);
  if (place)
    put_quick_stage (&self, place);
  return to_text (&self);
}

char *
afp_rewrite_list_preparing (const char *pipeline)
{
  g_auto (Chain) self = { 0 };
  GString *text = g_string_new (NULL);

  const gboolean ok = chain_init (&self, pipeline, NULL);
  for (guint i = 1; ok && i + 1 < self.nodes->len; i++) {
    g_autofree char *one = prepares (&self, i) ? node_to_text (&self, i) : NULL;
    g_string_append_printf (text, "%s%s", one ? one : "", one ? "\n" : "");
  }
  return g_string_free (text, FALSE);
}
