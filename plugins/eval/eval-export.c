/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-export.h"

#include "eval-spill.h"

#include <errno.h>
#include <glib/gstdio.h>

struct _EvalExport {
  char *folder;
  char *path;
  GPtrArray *files; /* char*: in the folder */
};

static const char *const elements[] = { "identity", "decode", "write" };
#define N_ELEMENTS G_N_ELEMENTS (elements)

/* A chain of its own: what is pushed into the first is written by the last. */
typedef struct {
  AfpElement *elements[N_ELEMENTS];
  guint n_started;
} Chain;

void
eval_export_free (EvalExport *export)
{
  for (guint i = 0; i < export->files->len; i++)
    g_unlink (export->files->pdata[i]);
  if (export->folder)
    g_rmdir (export->folder);
  g_ptr_array_unref (export->files);
  g_free (export->folder);
  g_free (export->path);
  g_free (export);
}

const char *
eval_export_get_path (const EvalExport *export)
{
  return export->path;
}

/* --- the chain ---------------------------------------------------------------------------------------------------- */

static void
chain_clear (Chain *chain, gboolean ok)
{
  for (guint i = 0; i < chain->n_started; i++) {
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (chain->elements[i]);
    if (klass->stop)
      klass->stop (chain->elements[i], ok);
    afp_element_set_run (chain->elements[i], NULL);
  }
  for (guint i = 0; i < N_ELEMENTS; i++)
    g_clear_object (&chain->elements[i]);
}

static gboolean
chain_make (Chain *chain, const char *path, GError **error)
{
  for (guint i = 0; i < N_ELEMENTS; i++) {
    chain->elements[i] = afp_registry_make (afp_registry_get_default (), elements[i], error);
    if (!chain->elements[i])
      return FALSE;
    if (i > 0 && !afp_pad_link (afp_element_get_pad (chain->elements[i - 1], AFP_PAD_SRC, 0),
                                afp_element_get_pad (chain->elements[i], AFP_PAD_SINK, 0), error))
      return FALSE;
  }
  AfpElement *write = chain->elements[N_ELEMENTS - 1];
  return afp_element_set_property_text (write, "location", path, error) &&
         AFP_ELEMENT_GET_CLASS (write)->check (write, error);
}

static gboolean
chain_start (Chain *chain, AfpRun *run, GError **error)
{
  for (; chain->n_started < N_ELEMENTS; chain->n_started++) {
    AfpElement *element = chain->elements[chain->n_started];
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
    afp_element_set_run (element, run);
    if (klass->start && !klass->start (element, run, error)) {
      afp_element_set_run (element, NULL);
      return FALSE;
    }
  }
  return TRUE;
}

/* @plan: (nullable): as planned; else with their numbers */
static gboolean
chain_push (Chain *chain, EvalSubject *subject, GPtrArray *names, AfpPlan *plan, GError **error)
{
  AfpPad *pad = afp_element_get_pad (chain->elements[0], AFP_PAD_SRC, 0);

  for (guint i = 0; i < names->len; i++) {
    g_autoptr (AfpTensor) tensor = eval_subject_read (subject, names->pdata[i], error);
    if (!tensor ||
        !(plan ? afp_pad_push_plan (pad, tensor, plan, error) : afp_pad_push (pad, tensor, error)))
      return FALSE;
  }
  return TRUE;
}

static gboolean
write_tensors (const char *path, EvalSubject *subject, GPtrArray *names, AfpRun *run,
               GError **error)
{
  Chain chain = { 0 };
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  gboolean ok = chain_make (&chain, path, error);
  AfpSink *sink = ok ? AFP_SINK (chain.elements[N_ELEMENTS - 1]) : NULL;

  ok = ok && chain_push (&chain, subject, names, plan, error) &&
       afp_sink_plan_end (sink, plan, error) && chain_start (&chain, run, error) &&
       chain_push (&chain, subject, names, NULL, error) &&
       afp_pad_push_finish (afp_element_get_pad (chain.elements[0], AFP_PAD_SRC, 0), error) &&
       afp_sink_publish (sink, error);
  chain_clear (&chain, ok);
  return ok;
}

/* --- the folder --------------------------------------------------------------------------------------------------- */

static gboolean
write_extras (EvalExport *export, AfpElement *element, GError **error)
{
  g_auto (GStrv) names = afp_element_list_extras (element);

  for (char **name = names; *name; name++) {
    g_autoptr (GBytes) bytes = afp_element_read_extra (element, *name, error);
    char *path = g_build_filename (export->folder, *name, NULL);
    GError *local = NULL;

    g_ptr_array_add (export->files, path);
    if (!bytes)
      return FALSE;
    if (!g_file_set_contents (path, g_bytes_get_data (bytes, NULL),
                              (gssize) g_bytes_get_size (bytes), &local)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s", local->message);
      g_error_free (local);
      return FALSE;
    }
  }
  return TRUE;
}

EvalExport *
eval_export_new (EvalSubject *subject, GPtrArray *names, AfpElement *element, AfpRun *run,
                 GError **error)
{
  g_autoptr (EvalExport) export = g_new0 (EvalExport, 1);
  g_autofree char *pattern =
      g_build_filename (eval_temporary_folder (), "afpipe-eval-XXXXXX", NULL);

  export->files = g_ptr_array_new_with_free_func (g_free);
  if (!g_mkdtemp (pattern)) {
    const int code = errno;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot make a temporary folder in '%s': %s; TMPDIR says where",
                 eval_temporary_folder (), g_strerror (code));
    return NULL;
  }
  export->folder = g_steal_pointer (&pattern);
  export->path = g_build_filename (export->folder, "model.safetensors", NULL);
  g_ptr_array_add (export->files, g_strdup (export->path));
  if (!write_tensors (export->path, subject, names, run, error) ||
      !write_extras (export, element, error)) {
    g_prefix_error (error, "the decoded model for a command: ");
    return NULL;
  }
  return g_steal_pointer (&export);
}
