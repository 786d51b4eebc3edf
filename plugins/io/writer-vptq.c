/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extras-folder.h"
#include "io-output.h"
#include "json-util.h"
#include "vptq-linear.h"
#include "writer.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

/*
 * A folder that the Python package vptq loads: what vptq axis=output has coded as its arrays, all else as it comes, in safetensors;
 * config.json; and what the input has beside its own. The safetensors files come last: without them the folder is none.
 */

#define MODEL "model.safetensors"
#define MAX_DEPTH 64

static const AfpWriter *const file_writer = &afp_writer_safetensors;

/* What the plan found. */
typedef struct {
  GPtrArray *specs;    /* of AfpSpec: the arrays of the files, in their order */
  GHashTable *linears; /* name of a tensor -> AfpVptqLinear */
  GPtrArray *order;    /* the same, in order */
  GPtrArray *plain;    /* of char*: linears that stay as they are, without ".weight" */
} Plan;

typedef struct {
  char *location;
  gboolean made; /* the folder is ours */
  gboolean overwrite;
  GArray *companions; /* of AfpCompanion */
  const Plan *plan;
  gpointer inner;
} Writer;

static void
plan_free (gpointer data)
{
  Plan *plan = data;

  g_ptr_array_unref (plan->specs);
  g_hash_table_unref (plan->linears);
  g_ptr_array_unref (plan->order);
  g_ptr_array_unref (plan->plain);
  g_free (plan);
}

static Plan *
get_plan (const AfpWriterOptions *options)
{
  if (options->plan_state->data == NULL) {
    Plan *plan = g_new0 (Plan, 1);
    plan->specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
    plan->linears = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) afp_vptq_linear_free);
    plan->order = g_ptr_array_new ();
    plan->plain = g_ptr_array_new_with_free_func (g_free);
    options->plan_state->data = plan;
    options->plan_state->free = plan_free;
  }
  return options->plan_state->data;
}

/* --- plan --------------------------------------------------------------------------------------------------------- */

static void
plan_plain (Plan *plan, AfpSpec *spec)
{
  const char *name = afp_spec_get_name (spec);

  g_ptr_array_add (plan->specs, afp_spec_ref (spec));
  if (afp_spec_get_rank (spec) == 2 && g_str_has_suffix (name, ".weight"))
    g_ptr_array_add (plan->plain, g_strndup (name, strlen (name) - strlen (".weight")));
}

static gboolean
writer_plan_tensor (const AfpWriterOptions *options, AfpTensor *tensor, GError **error)
{
  Plan *plan = get_plan (options);
  AfpSpec *spec = afp_tensor_get_spec (tensor);

  if (afp_tensor_is_raw (tensor)) {
    plan_plain (plan, spec);
    return file_writer->plan_tensor (options, tensor, error);
  }
  AfpVptqLinear *linear = afp_vptq_linear_new (tensor, error);
  if (linear == NULL)
    return FALSE;
  g_hash_table_insert (plan->linears, g_strdup (afp_spec_get_name (spec)), linear);
  g_ptr_array_add (plan->order, linear);
  for (guint i = 0; i < linear->specs->len; i++)
    g_ptr_array_add (plan->specs, afp_spec_ref (linear->specs->pdata[i]));
  return TRUE;
}

/* --- config.json -------------------------------------------------------------------------------------------------- */

static gboolean
has_spec (const Plan *plan, const char *linear, const char *suffix)
{
  g_autofree char *name = g_strconcat (linear, suffix, NULL);

  for (guint i = 0; i < plan->specs->len; i++)
    if (strcmp (afp_spec_get_name (plan->specs->pdata[i]), name) == 0)
      return TRUE;
  return FALSE;
}

static JsonObject *
describe_quantization (const Plan *plan)
{
  JsonObject *layers = json_object_new (), *object = json_object_new ();
  JsonArray *plain = json_array_new ();

  for (guint i = 0; i < plan->order->len; i++) {
    const AfpVptqLinear *linear = plan->order->pdata[i];
    json_object_set_member (
        layers, linear->name,
        afp_vptq_linear_describe (linear, has_spec (plan, linear->name, ".bias")));
  }
  for (guint i = 0; i < plan->plain->len; i++)
    json_array_add_string_element (plain, plan->plain->pdata[i]);
  json_object_set_string_member (object, "quant_method", "vptq");
  json_object_set_object_member (object, "config_for_layers", layers);
  json_object_set_array_member (object, "modules_to_not_convert", plain);
  return object;
}

/* The model's own, or an empty one; it is to be computed in f16, in which the codebooks are. */
static GBytes *
make_config (const Plan *plan, GBytes *own, GError **error)
{
  g_autoptr (JsonNode) root = NULL;

  if (own != NULL) {
    gsize n;
    const char *text = g_bytes_get_data (own, &n);
    root = afp_json_parse (text, n, MAX_DEPTH, "the model's " AFP_EXTRA_CONFIG, error);
    if (root == NULL)
      return NULL;
  }
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_clear_pointer (&root, json_node_unref);
    root = json_node_new (JSON_NODE_OBJECT);
    json_node_take_object (root, json_object_new ());
  }
  JsonObject *object = json_node_get_object (root);
  json_object_remove_member (object, "dtype");
  json_object_set_string_member (object, "torch_dtype", "float16");
  json_object_set_object_member (object, "quantization_config", describe_quantization (plan));
  g_autofree char *text = json_to_string (root, TRUE);
  char *line = g_strconcat (text, "\n", NULL);
  return g_bytes_new_take (line, strlen (line));
}

/* --- files beside the arrays -------------------------------------------------------------------------------------- */

static void
companion_clear (gpointer data)
{
  AfpCompanion *file = data;

  g_free (file->location);
  g_bytes_unref (file->bytes);
}

static void
take_companion (GArray *companions, const char *folder, const char *name, GBytes *bytes)
{
  const AfpCompanion file = { g_build_filename (folder, name, NULL), bytes };

  g_array_append_val (companions, file);
}

/* What upstream has besides tensors, and the configuration. (element-type AfpCompanion) */
static GArray *
collect (const AfpWriterOptions *options, GError **error)
{
  g_autoptr (GArray) companions = g_array_new (FALSE, FALSE, sizeof (AfpCompanion));
  g_auto (GStrv) names =
      options->sink != NULL ? afp_element_list_extras (AFP_ELEMENT (options->sink)) : NULL;
  g_autoptr (GBytes) own = NULL;

  g_array_set_clear_func (companions, companion_clear);
  for (char **name = names; name != NULL && *name != NULL; name++) {
    if (!afp_extras_folder_has_name (*name))
      continue;
    GBytes *bytes = afp_element_read_extra (AFP_ELEMENT (options->sink), *name, error);
    if (bytes == NULL)
      return NULL;
    if (strcmp (*name, AFP_EXTRA_CONFIG) == 0)
      own = bytes;
    else
      take_companion (companions, options->location, *name, bytes);
  }
  GBytes *config = make_config (get_plan (options), own, error);
  if (config == NULL)
    return NULL;
  take_companion (companions, options->location, AFP_EXTRA_CONFIG, config);
  return g_steal_pointer (&companions);
}

/* The options for the safetensors files. @model: their location */
static AfpWriterOptions
get_inner (const AfpWriterOptions *options, const char *model)
{
  AfpWriterOptions inner = *options;

  inner.location = model;
  inner.planned = get_plan (options)->specs;
  return inner;
}

static gboolean
writer_list_files (const AfpWriterOptions *options, GPtrArray *written, GPtrArray *removed,
                   GError **error)
{
  g_autofree char *model = g_build_filename (options->location, MODEL, NULL);
  const AfpWriterOptions inner = get_inner (options, model);
  g_autoptr (GArray) companions = collect (options, error);

  if (companions == NULL)
    return FALSE;
  for (guint i = 0; i < companions->len; i++)
    g_ptr_array_add (written, g_strdup (g_array_index (companions, AfpCompanion, i).location));
  return file_writer->list_files (&inner, written, removed, error);
}

/* --- the writer --------------------------------------------------------------------------------------------------- */

static void
writer_close (gpointer data, gboolean ok)
{
  Writer *self = data;

  if (self->inner != NULL)
    file_writer->close (self->inner, ok);
  if (self->made)
    g_rmdir (self->location); /* which only removes an empty one */
  g_clear_pointer (&self->companions, g_array_unref);
  g_free (self->location);
  g_free (self);
}

static gboolean
make_folder (Writer *self, GError **error)
{
  if (g_file_test (self->location, G_FILE_TEST_IS_DIR))
    return TRUE;
  if (g_mkdir (self->location, 0777) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot make the folder '%s': %s", self->location,
                 g_strerror (errno));
    return FALSE;
  }
  self->made = TRUE;
  return TRUE;
}

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  g_autofree char *model = g_build_filename (options->location, MODEL, NULL);
  AfpWriterOptions inner = get_inner (options, model);
  Writer *self = g_new0 (Writer, 1);

  self->location = g_strdup (options->location);
  self->overwrite = options->overwrite;
  self->plan = get_plan (options);
  self->companions = collect (options, error);
  inner.companions = self->companions;
  if (self->companions != NULL && make_folder (self, error))
    self->inner = file_writer->open (&inner, error);
  if (self->inner == NULL) {
    writer_close (self, FALSE);
    return NULL;
  }
  return self;
}

static gboolean
writer_write (gpointer data, AfpTensor *tensor, GError **error)
{
  Writer *self = data;
  const AfpVptqLinear *linear =
      g_hash_table_lookup (self->plan->linears, afp_spec_get_name (afp_tensor_get_spec (tensor)));

  if (afp_tensor_is_raw (tensor) || linear == NULL)
    return file_writer->write (self->inner, tensor, error);
  g_autoptr (GPtrArray) arrays = afp_vptq_linear_make (linear, tensor, error);
  if (arrays == NULL)
    return FALSE;
  for (guint i = 0; i < arrays->len; i++)
    if (!file_writer->write (self->inner, arrays->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
writer_finish (gpointer data, GError **error)
{
  return file_writer->finish (((Writer *) data)->inner, error);
}

/* A folder that is replaced loses what leads to its arrays first: never the arrays of one model with the configuration of another. */
static void
disarm (const Writer *self)
{
  static const char *const names[] = { MODEL ".index.json", MODEL };

  for (guint i = 0; self->overwrite && i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (self->location, names[i], NULL);
    g_unlink (path);
  }
}

static gboolean
writer_publish (gpointer data, guint64 *file_bytes, GError **error)
{
  Writer *self = data;

  disarm (self);
  return file_writer->publish (self->inner, file_bytes, error);
}

static guint64
writer_get_extras_bytes (gpointer data)
{
  Writer *self = data;
  guint64 bytes = 0;

  for (guint i = 0; i < self->companions->len; i++)
    bytes += g_bytes_get_size (g_array_index (self->companions, AfpCompanion, i).bytes);
  return bytes;
}

static const char *const extensions[] = { NULL };

const AfpWriter afp_writer_vptq = {
  .name = "vptq",
  .extensions = extensions,
  .is_folder = TRUE,
  .plan_tensor = writer_plan_tensor,
  .list_files = writer_list_files,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .get_extras_bytes = writer_get_extras_bytes,
  .close = writer_close,
};
