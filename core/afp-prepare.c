/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error.h"
#include "afp-codec-private.h"
#include "afp-mapped.h"
#include "afp-memo.h"
#include "afp-message.h"
#include "afp-pipeline-private.h"
#include "afp-pool.h"
#include "afp-source.h"
#include "afp-table.h"

#include <math.h>
#include <string.h>

/*
 * Prepare: what tensors share is fitted before the first of them is coded. Pieces of rows, spread evenly over all tensors of a group
 * and divided by the root mean square of their tensor, make up a sample: a tensor of its own, which goes through the codecs on the
 * way as its first member would, queries and all. What the codec then has in the shared plane is given to every tensor.
 */

#define MAX_WEIGHTS (1 << 20) /* in a sample */
#define MAX_LENGTH 256        /* of a piece */

typedef struct {
  const AfpShareMember *member;
  AfpClaim *claim; /* of the first codec on the way that has one */
  guint start;     /* its place in the route */
  gsize prefix;    /* length of the path of the plane that it takes */
  guint64 rows, cols, per_row, pieces;
  AfpTensor *tensor; /* as it came from the source, while it is read */
  AfpPlane *plane;
  AfpMatrix *matrix;
} Part;

typedef struct {
  AfpCodec *codec;
  AfpRun *run; /* NULL at plan time */
  const AfpShareGroup *group;
  GPtrArray *route;    /* AfpElement: from the source to the codec */
  GHashTable *indices; /* name -> index in the source + 1 */
  GArray *parts;       /* Part: the members that go one way */
  guint64 pieces;      /* of all parts */
  guint64 length;      /* columns of a piece */
  gsize n;             /* pieces in the sample */
} Prepare;

/* --- the way from the source ------------------------------------------------------------------------------------- */

GPtrArray *
afp_element_find_route (AfpElement *element)
{
  GPtrArray *route = g_ptr_array_new ();

  while (element) {
    g_ptr_array_insert (route, 0, element);
    AfpPad *sink = afp_element_get_pad (element, AFP_PAD_SINK, 0);
    AfpPad *peer = sink ? afp_pad_get_peer (sink) : NULL;
    element = peer ? afp_pad_get_element (peer) : NULL;
  }
  return route;
}

/* The child that the first part of @path names, or NULL. */
static AfpPlane *
find_child (AfpPlane *plane, const char *path)
{
  const gsize n = strcspn (path, "/");

  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_get_child (plane, i);
    const char *name = afp_plane_get_desc (child)->name;
    if (strlen (name) == n && strncmp (name, path, n) == 0)
      return child;
  }
  return NULL;
}

/* The leaf of the tree on the way to @path, and how much of the path leads to it; NULL: the path is not in the tree. */
static AfpPlane *
find_leaf (AfpPlane *plane, const char *path, gsize *length)
{
  const char *end = path + strcspn (path, "/");

  while (plane && afp_plane_get_codec (plane)) {
    plane = *end ? find_child (plane, end + 1) : NULL;
    end += *end ? 1 + strcspn (end + 1, "/") : 0;
  }
  *length = (gsize) (end - path);
  return plane;
}

static AfpClaim *
find_claim (AfpElement *element, const AfpShareMember *member, gsize length)
{
  g_autofree char *path = g_strndup (member->path, length);

  return AFP_IS_CODEC (element) ? afp_codec_find_claim (AFP_CODEC (element), member->tensor, path)
                                : NULL;
}

/* How the member's plane comes to be: the claims on the way to it. */
static char *
describe_way (const Prepare *prepare, const AfpShareMember *member)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i + 1 < prepare->route->len; i++)
    for (const char *end = strchr (member->path, '/');; end = strchr (end + 1, '/')) {
      const gsize length = end ? (gsize) (end - member->path) : strlen (member->path);
      AfpClaim *claim = find_claim (prepare->route->pdata[i], member, length);
      g_autofree char *what = claim ? afp_claim_to_string (claim) : NULL;
      if (what)
        g_string_append_printf (text, "%u:%s;", i, what);
      if (!end)
        break;
    }
  return g_string_free (text, FALSE);
}

/* The way that most weights go; the first of equal ones. */
static char *
choose_way (const Prepare *prepare)
{
  g_autoptr (GHashTable) weights = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  guint64 most = 0;
  char *best = NULL;

  for (guint i = 0; i < prepare->group->members->len; i++) {
    const AfpShareMember *member = prepare->group->members->pdata[i];
    char *way = describe_way (prepare, member);
    guint64 *sum = g_hash_table_lookup (weights, way);
    if (sum) {
      *sum += member->weights;
      g_free (way);
    } else {
      sum = g_memdup2 (&member->weights, sizeof *sum);
      g_hash_table_insert (weights, way, sum);
    }
  }
  for (guint i = 0; i < prepare->group->members->len; i++) {
    g_autofree char *way = describe_way (prepare, prepare->group->members->pdata[i]);
    const guint64 *sum = g_hash_table_lookup (weights, way);
    if (*sum <= most)
      continue;
    most = *sum;
    g_free (best);
    best = g_steal_pointer (&way);
  }
  return best;
}

/* The first codec that takes a plane on the way. */
static gboolean
find_start (const Prepare *prepare, const AfpShareMember *member, Part *part)
{
  for (part->start = 1; part->start < prepare->route->len; part->start++)
    for (const char *end = member->path + strcspn (member->path, "/");;
         end += 1 + strcspn (end + 1, "/")) {
      part->prefix = (gsize) (end - member->path);
      part->claim = find_claim (prepare->route->pdata[part->start], member, part->prefix);
      if (part->claim)
        return TRUE;
      if (!*end)
        break;
    }
  return FALSE;
}

/* --- a group ------------------------------------------------------------------------------------------------------ */

static gboolean
forget_pages (AfpPlane *plane, const char *path, gpointer user_data)
{
  GBytes *bytes = afp_plane_get_data (plane);

  if (bytes && afp_mapped_contains (bytes))
    afp_mapped_forget (bytes);
  return TRUE;
}

static void
part_close (Part *part)
{
  g_clear_pointer (&part->matrix, afp_matrix_unref);
  g_clear_pointer (&part->plane, afp_plane_unref);
  if (part->tensor)
    afp_plane_foreach (afp_tensor_get_root (part->tensor), forget_pages, NULL);
  g_clear_pointer (&part->tensor, afp_tensor_unref);
}

static void
prepare_clear (Prepare *prepare)
{
  for (guint i = 0; prepare->parts && i < prepare->parts->len; i++)
    part_close (&g_array_index (prepare->parts, Part, i));
  g_clear_pointer (&prepare->parts, g_array_unref);
  g_clear_pointer (&prepare->indices, g_hash_table_unref);
  g_clear_pointer (&prepare->route, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Prepare, prepare_clear)

/* The members that go the way of most, and how they are cut. */
static void
prepare_init (Prepare *prepare, AfpCodec *codec, const AfpShareGroup *group, AfpRun *run)
{
  guint64 narrowest = MAX_LENGTH;

  *prepare = (Prepare){ .codec = codec, .run = run, .group = group };
  prepare->route = afp_element_find_route (AFP_ELEMENT (codec));
  prepare->parts = g_array_new (FALSE, TRUE, sizeof (Part));
  g_autofree char *best = choose_way (prepare);
  for (guint i = 0; i < group->members->len; i++) {
    Part part = { .member = group->members->pdata[i] };
    g_autofree char *way = describe_way (prepare, part.member);
    if (g_strcmp0 (way, best) != 0 || !find_start (prepare, part.member, &part) ||
        (part.member->is_alias && group->n_aliases < group->members->len))
      continue;
    part.rows = afp_layout_get_rows (part.claim->layout); /* one, if blocks cross rows */
    part.cols = afp_layout_get_cols (part.claim->layout);
    narrowest = MIN (narrowest, part.cols);
    g_array_append_val (prepare->parts, part);
  }
  for (guint i = 0; i < prepare->parts->len; i++) {
    Part *part = &g_array_index (prepare->parts, Part, i);
    const guint quantum = part->claim->layout->quantum;
    prepare->length = MAX (narrowest / quantum, 1) * quantum;
    part->per_row = (part->cols + prepare->length - 1) / prepare->length;
    part->pieces = part->rows * part->per_row;
    prepare->pieces += part->pieces;
  }
  if (prepare->length)
    prepare->n = (gsize) MIN (prepare->pieces, MAX (MAX_WEIGHTS / prepare->length, 1));
}

/* The claim's, and of those on what it leaves. */
static void
add_memory (const AfpClaim *claim, AfpCodecMemory *memory)
{
  AfpCodecMemory own;

  afp_claim_get_memory (claim, &own);
  memory->fixed += own.fixed;
  memory->per_thread = MAX (memory->per_thread, own.per_thread);
  for (guint i = 0; i < afp_layout_get_n_children (claim->layout); i++) {
    memory->fixed += afp_claim_get_child_memory (claim, i);
    if (claim->children && claim->children[i] && !claim->children[i]->is_fallback)
      add_memory (claim->children[i], memory);
  }
}

/* What the largest sample of a codec takes, beside the pieces themselves. */
void
afp_prepare_get_memory (AfpElement *element, AfpCodecMemory *memory)
{
  const AfpShare *share = afp_codec_get_share (AFP_CODEC (element));

  *memory = (AfpCodecMemory){ 0 };
  for (guint i = 0; i < share->groups->len; i++) {
    AfpCodecMemory own = { 0 };
    g_auto (Prepare) prepare = { 0 };
    prepare_init (&prepare, AFP_CODEC (element), share->groups->pdata[i], NULL);
    if (prepare.n == 0)
      continue;
    const Part *first = &g_array_index (prepare.parts, Part, 0);
    g_autoptr (AfpClaim) sample = afp_claim_resize (first->claim, prepare.n, prepare.length);
    own.fixed = 2 * prepare.n * prepare.length * sizeof (float); /* as they are read, as a tensor */
    add_memory (sample, &own);
    memory->fixed = MAX (memory->fixed, own.fixed);
    memory->per_thread = MAX (memory->per_thread, own.per_thread);
  }
}

/* --- pieces of a tensor ------------------------------------------------------------------------------------------- */

/* The tensor as the first codec on the way finds it, opened. */
static gboolean
part_open (const Prepare *prepare, Part *part, GError **error)
{
  const gsize index =
      GPOINTER_TO_SIZE (g_hash_table_lookup (prepare->indices, part->member->tensor));
  g_autoptr (AfpTensor) tensor =
      afp_source_read_tensor (prepare->route->pdata[0], index - 1, error);
  gsize length;

  part->tensor = tensor ? afp_tensor_ref (tensor) : NULL;
  for (guint i = 1; tensor && i < part->start; i++) {
    AfpTransformClass *klass = AFP_IS_TRANSFORM (prepare->route->pdata[i])
                                   ? AFP_TRANSFORM_GET_CLASS (prepare->route->pdata[i])
                                   : NULL;
    if (!klass || !klass->sample)
      continue;
    AfpTensor *next = klass->sample (prepare->route->pdata[i], tensor, error);
    afp_tensor_unref (tensor);
    tensor = next;
  }
  if (!tensor)
    return FALSE;
  AfpPlane *leaf = find_leaf (afp_tensor_get_root (tensor), part->member->path, &length);
  if (!leaf || length != part->prefix) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "plane '%s' of tensor '%s' cannot be sampled",
                 part->member->path, part->member->tensor);
    return FALSE;
  }
  g_autoptr (AfpMatrix) matrix = afp_plane_open (leaf, afp_tensor_get_spec (tensor), error);
  if (!matrix)
    return FALSE;
  part->plane = afp_plane_ref (leaf);
  part->matrix = afp_matrix_reshape (matrix, part->rows, part->cols);
  return TRUE;
}

/* The last piece of a row ends with the last whole block. */
static gboolean
read_piece (const Prepare *prepare, const Part *part, guint64 piece, float *out, GError **error)
{
  const guint quantum = part->claim->layout->quantum;
  const guint64 whole = part->cols / quantum * quantum, length = prepare->length;
  guint64 col = piece % part->per_row * length;

  if (col + length > whole && whole >= length)
    col = whole - length;
  return afp_matrix_read (part->matrix, piece / part->per_row, 1, col, length, out, error);
}

/* By the root mean square; FALSE: there is nothing to learn from the values. */
static gboolean
normalise (float *x, gsize n)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) x[i] * x[i];
  const double rms = sqrt (sum / (double) MAX (n, 1));
  if (!(rms > 0) || !isfinite (rms))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    x[i] = (float) (x[i] / rms);
  return TRUE;
}

typedef struct {
  float *values;
  gsize n;      /* pieces */
  gsize next;   /* of those that are spread over all parts */
  guint64 seen; /* pieces of the parts before */
} Sample;

static gboolean
sample_part (const Prepare *prepare, Part *part, Sample *sample, GError **error)
{
  float *own = sample->values + sample->n * prepare->length;
  gsize n = 0;

  for (; sample->next < prepare->n; sample->next++, n++) {
    const guint64 index = afp_sample_index (0, sample->next, prepare->n, prepare->pieces);
    if (index >= sample->seen + part->pieces)
      break;
    if ((!part->matrix && !part_open (prepare, part, error)) ||
        !read_piece (prepare, part, index - sample->seen, own + n * prepare->length, error))
      return FALSE;
  }
  sample->seen += part->pieces;
  if (normalise (own, n * prepare->length))
    sample->n += n;
  return TRUE;
}

/* The kind of plane that was sampled, in the size of the sample: a tensor's root. */
static AfpTensor *
sample_to_tensor (const Prepare *prepare, Sample *sample, const AfpPlane *like)
{
  const Part *first = &g_array_index (prepare->parts, Part, 0);
  const guint64 shape[] = { sample->n, prepare->length };
  g_autoptr (AfpSpec) spec =
      afp_spec_new (first->member->tensor, AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (sample->values, shape[0] * shape[1] * sizeof (float));
  AfpPlaneDesc desc = *afp_plane_get_desc (like);

  desc.rows = shape[0];
  desc.cols = shape[1];
  g_autoptr (AfpPlane) root = afp_plane_desc_is_array (&desc)
                                  ? afp_plane_new_raw (spec, bytes)
                                  : afp_plane_new_float (&desc, bytes, NULL);
  return afp_tensor_new (spec, root);
}

/* (transfer full): a tensor of pieces of all parts; NULL without error: they are all zeros, or not finite */
static AfpTensor *
make_sample (const Prepare *prepare, GError **error)
{
  g_autofree float *values = g_new (float, MAX (prepare->n * prepare->length, 1));
  g_autoptr (AfpPlane) like = NULL;
  Sample sample = { .values = values };

  for (guint i = 0; i < prepare->parts->len && sample.next < prepare->n; i++) {
    Part *part = &g_array_index (prepare->parts, Part, i);
    if (g_cancellable_set_error_if_cancelled (afp_run_get_cancellable (prepare->run), NULL)) {
      g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled");
      return NULL;
    }
    if (!sample_part (prepare, part, &sample, error))
      return NULL;
    if (part->plane && !like)
      like = afp_plane_ref (part->plane);
    part_close (part);
  }
  return sample.n ? sample_to_tensor (prepare, &sample, like) : NULL;
}

/* --- the sample's way --------------------------------------------------------------------------------------------- */

static AfpPlane *
take_sample (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path,
             gpointer user_data, GError **error)
{
  const Prepare *prepare = user_data;
  const AfpShareMember *member = g_array_index (prepare->parts, Part, 0).member;
  AfpClaim *claim = afp_codec_find_claim (self, member->tensor, path);
  AfpPlane *frozen = afp_plane_get_frozen (plane);
  const gsize n = strlen (path);

  if (!claim || strncmp (member->path, path, n) != 0 || (member->path[n] && member->path[n] != '/'))
    return NULL;
  if (frozen && afp_plane_get_maker (frozen) == claim->codec)
    return afp_plane_ref (frozen);
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  g_autoptr (AfpClaim) resized = afp_claim_resize (claim, desc->rows, desc->cols);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, afp_tensor_get_spec (tensor), error);
  if (!matrix)
    return NULL;
  g_autofree char *name = g_strconcat (member->tensor, "/", path, NULL);
  const AfpExecution execution = { .claim = resized,
                                   .matrix = matrix,
                                   .metric = afp_plane_get_metric (plane),
                                   .name = name,
                                   .spec = afp_tensor_get_spec (tensor),
                                   .pool = afp_run_get_pool (prepare->run) };
  return afp_memo_execute (afp_run_get_pipeline (prepare->run)->memo, &execution, NULL, NULL,
                           error);
}

/* (transfer full): the sample behind the codec that shares */
static AfpTensor *
send_sample (const Prepare *prepare, AfpTensor *sample, GError **error)
{
  const Part *first = &g_array_index (prepare->parts, Part, 0);
  g_autofree char *prefix = g_strndup (first->member->path, first->prefix);
  g_autoptr (AfpTensor) tensor = afp_tensor_ref (sample);

  for (guint i = first->start; i < prepare->route->len; i++) {
    AfpElement *element = prepare->route->pdata[i];
    AfpTensor *next = NULL;
    if (AFP_IS_CODEC (element)) {
      g_autoptr (AfpPlane) root =
          afp_codec_walk (AFP_CODEC (element), tensor, afp_tensor_get_root (tensor), prefix,
                          take_sample, (gpointer) prepare, error);
      next = root ? afp_tensor_new_with_root (tensor, root) : NULL;
    } else if (AFP_IS_TRANSFORM (element) && AFP_TRANSFORM_GET_CLASS (element)->sample) {
      next = AFP_TRANSFORM_GET_CLASS (element)->sample (AFP_TRANSFORM (element), tensor, error);
    } else {
      continue;
    }
    if (!next)
      return NULL;
    afp_tensor_unref (tensor);
    tensor = next;
  }
  return g_steal_pointer (&tensor);
}

/* What stands for the plane at the end of @path, which begins behind the name of @plane. */
static AfpPlane *
find_coded (AfpPlane *plane, const char *path)
{
  while (plane && !afp_plane_get_codec (plane) && afp_plane_get_frozen (plane))
    plane = afp_plane_get_frozen (plane);
  if (!plane || !*path)
    return plane && afp_plane_get_codec (plane) ? plane : NULL;
  return find_coded (find_child (plane, path + 1), path + 1 + strcspn (path + 1, "/"));
}

static gboolean
keep_shared (const Prepare *prepare, AfpTensor *sent, GError **error)
{
  const Part *first = &g_array_index (prepare->parts, Part, 0);
  AfpPlane *coded = find_coded (afp_tensor_get_root (sent), first->member->path + first->prefix);
  AfpPlane *child = coded ? afp_plane_get_child (coded, prepare->group->child) : NULL;
  AfpPlane *frozen = child ? afp_plane_get_frozen (child) : NULL;

  if (!frozen) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "the sample of '%s' did not come to plane '%s'",
                 first->member->tensor, first->member->path);
    return FALSE;
  }
  g_autoptr (AfpMatrix) matrix = afp_plane_open (frozen, NULL, error);
  g_autoptr (GBytes) values =
      matrix ? afp_matrix_to_dense (matrix, afp_run_get_pool (prepare->run), error) : NULL;
  if (!values)
    return FALSE;
  g_hash_table_insert (afp_codec_get_share (prepare->group->claim->codec)->given,
                       g_strdup (prepare->group->key),
                       afp_plane_new_float (afp_plane_get_desc (child), values, frozen));
  return TRUE;
}

/* --- all groups of a codec ---------------------------------------------------------------------------------------- */

static GHashTable *
index_source (AfpSource *source, GError **error)
{
  g_autoptr (GHashTable) indices = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (gsize i = 0; i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (source, i, error);
    if (!tensor)
      return NULL;
    g_hash_table_insert (indices, g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                         GSIZE_TO_POINTER (i + 1));
  }
  return g_steal_pointer (&indices);
}

static void
post (const Prepare *prepare, AfpTensor *sample)
{
  const AfpShareGroup *group = prepare->group;
  g_autofree char *n = afp_format_count (afp_spec_get_n_elements (afp_tensor_get_spec (sample)));
  g_autofree char *text = g_strdup_printf (
      "%s of %u tensors fitted to a sample of %s weights",
      afp_layout_get_child (group->claim->layout, group->child)->name, group->members->len, n);

  afp_run_post (prepare->run,
                afp_message_new (AFP_MESSAGE_INFO,
                                 afp_element_get_name (AFP_ELEMENT (prepare->codec)), text, NULL));
}

/* Zeros in place of what no sample could teach: all weights are zero, or the run will say which are not finite. */
static gboolean
keep_zeros (const Prepare *prepare, GError **error)
{
  const AfpClaim *claim = prepare->group->claim;
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, prepare->group->child);
  const gsize n = desc->rows * desc->cols;
  g_autofree float *zeros = g_new0 (float, n);
  g_autoptr (GBytes) bytes = g_bytes_new (zeros, n * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (desc->rows, desc->cols, bytes);
  g_autoptr (AfpPlane) frozen =
      afp_claim_encode (claim->children[prepare->group->child], matrix, NULL, desc->name,
                        afp_run_get_pool (prepare->run), error);

  if (!frozen)
    return FALSE;
  g_hash_table_insert (afp_codec_get_share (claim->codec)->given, g_strdup (prepare->group->key),
                       afp_plane_new_float (desc, bytes, frozen));
  return TRUE;
}

static gboolean
prepare_group (Prepare *prepare, GError **error)
{
  GError *local = NULL;

  prepare->indices = index_source (prepare->route->pdata[0], error);
  if (!prepare->indices)
    return FALSE;
  g_autoptr (AfpTensor) sample = make_sample (prepare, &local);
  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  if (!sample)
    return keep_zeros (prepare, error);
  g_autoptr (AfpTensor) sent = send_sample (prepare, sample, error);
  if (!sent || !keep_shared (prepare, sent, error))
    return FALSE;
  post (prepare, sample);
  return TRUE;
}

gboolean
afp_prepare_codec (AfpElement *element, AfpRun *run, GError **error)
{
  AfpCodec *self = AFP_CODEC (element);
  const AfpShare *share = afp_codec_get_share (self);

  for (guint i = 0; i < share->groups->len; i++) {
    g_auto (Prepare) prepare = { 0 };
    prepare_init (&prepare, self, share->groups->pdata[i], run);
    if (!prepare_group (&prepare, error)) {
      g_prefix_error (error, "prepare: ");
      return FALSE;
    }
  }
  return TRUE;
}
