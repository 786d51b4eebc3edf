/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-element.h"
#include "afp-error.h"
#include "afp-quantizer.h"

struct _AfpPad {
  AfpElement *element; /* owns the pad */
  char *name;
  AfpPadDirection direction;
  AfpPad *peer;
  AfpCaps *caps;
  AfpPadChain chain;
  AfpPadPlan plan;
  AfpPadFinish finish;
  AfpPadDescribe describe;
};

/**
 * afp_pad_new: (skip)
 * @element: (nullable): the owner; see afp_element_add_pad()
 * @name: unique in the element
 * @direction: source pads push, sink pads receive
 */
AfpPad *
afp_pad_new (AfpElement *element, const char *name, AfpPadDirection direction)
{
  AfpPad *self = g_new0 (AfpPad, 1);
  self->element = element;
  self->name = g_strdup (name);
  self->direction = direction;
  self->caps = afp_caps_new_any ();
  return self;
}

/* Unlinks the pad, too. */
void
afp_pad_free (AfpPad *pad)
{
  if (!pad)
    return;
  if (pad->peer)
    pad->peer->peer = NULL;
  afp_caps_free (pad->caps);
  g_free (pad->name);
  g_free (pad);
}

const char *
afp_pad_get_name (const AfpPad *pad)
{
  return pad->name;
}

AfpElement *
afp_pad_get_element (const AfpPad *pad)
{
  return pad->element;
}

/* (transfer none) (nullable) */
AfpPad *
afp_pad_get_peer (const AfpPad *pad)
{
  return pad->peer;
}

/* Never NULL: a pad accepts everything until afp_pad_set_caps(). */
const AfpCaps *
afp_pad_get_caps (const AfpPad *pad)
{
  return pad->caps;
}

void
afp_pad_set_caps (AfpPad *pad, AfpCaps *caps)
{
  g_return_if_fail (caps != NULL);
  afp_caps_free (pad->caps);
  pad->caps = caps;
}

/**
 * afp_pad_set_functions: (skip)
 * @pad: a sink pad
 * @chain: (nullable): takes tensors
 * @plan: (nullable): takes planned tensors
 * @finish: (nullable): %NULL: nothing to do at the end of the stream
 * @describe: (nullable): %NULL: takes no float plane
 */
void
afp_pad_set_functions (AfpPad *pad, AfpPadChain chain, AfpPadPlan plan, AfpPadFinish finish,
                       AfpPadDescribe describe)
{
  pad->chain = chain;
  pad->plan = plan;
  pad->finish = finish;
  pad->describe = describe;
}

static const char *
element_name (const AfpPad *pad)
{
  return pad->element ? afp_element_get_name (pad->element) : "?";
}

/**
 * afp_pad_link:
 * @src: a source pad
 * @sink: a sink pad
 * @error: AFP_ERROR_USAGE
 */
gboolean
afp_pad_link (AfpPad *src, AfpPad *sink, GError **error)
{
  g_autofree char *what =
      g_strdup_printf ("cannot link %s (pad '%s') to %s (pad '%s')", element_name (src), src->name,
                       element_name (sink), sink->name);
  const AfpPad *linked = src->peer ? src : sink->peer ? sink : NULL;

  if (src->direction != AFP_PAD_SRC)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "%s: '%s' of %s takes tensors, it sends none",
                 what, src->name, element_name (src));
  else if (sink->direction != AFP_PAD_SINK)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "%s: '%s' of %s sends tensors, it takes none",
                 what, sink->name, element_name (sink));
  else if (linked)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "%s: '%s' of %s is already linked to %s; put a 'tee' there for several branches",
                 what, linked->name, element_name (linked), element_name (linked->peer));
  else if (src->element && src->element == sink->element)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "%s: an element cannot feed itself", what);
  else {
    src->peer = sink;
    sink->peer = src;
    return TRUE;
  }
  return FALSE;
}

/* The pad that @src pushes to, if it can be pushed to. */
static AfpPad *
get_target (AfpPad *src, GError **error)
{
  g_return_val_if_fail (src->direction == AFP_PAD_SRC, NULL);
  if (!src->peer)
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "%s: pad '%s' is linked to nothing; end the chain with a sink such as 'write' or "
                 "'null'",
                 element_name (src), src->name);
  return src->peer;
}

static gboolean
fail_no_function (AfpPad *sink, const char *what, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "%s: pad '%s' has no function to %s",
               element_name (sink), sink->name, what);
  return FALSE;
}

gboolean
afp_pad_push (AfpPad *src, AfpTensor *tensor, GError **error)
{
  AfpPad *sink = get_target (src, error);
  if (!sink)
    return FALSE;
  if (!sink->chain)
    return fail_no_function (sink, "take a tensor", error);
  return sink->chain (sink, tensor, error);
}

gboolean
afp_pad_push_plan (AfpPad *src, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpPad *sink = get_target (src, error);
  if (!sink)
    return FALSE;
  if (!sink->plan)
    return fail_no_function (sink, "plan a tensor", error);
  if (!afp_caps_accept (sink->caps, tensor, error)) {
    g_prefix_error (error, "%s ! %s: ", element_name (src), element_name (sink));
    return FALSE;
  }
  return sink->plan (sink, tensor, plan, error);
}

gboolean
afp_pad_push_finish (AfpPad *src, GError **error)
{
  AfpPad *sink = get_target (src, error);
  if (!sink)
    return FALSE;
  return sink->finish ? sink->finish (sink, error) : TRUE;
}

/**
 * afp_pad_query_claim: (skip)
 * @src: a source pad
 * @spec: the tensor
 * @path: of the plane
 * @desc: the plane
 *
 * Returns: (transfer full) (nullable): who takes the plane downstream; %NULL: nobody
 */
AfpClaim *
afp_pad_query_claim (AfpPad *src, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc)
{
  AfpPad *sink = src->peer;
  return sink && sink->describe ? sink->describe (sink, spec, path, desc) : NULL;
}
