/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-pad.h"
#include "afp-property.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

#define AFP_TYPE_ELEMENT (afp_element_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpElement, afp_element, AFP, ELEMENT, GObject)

/**
 * AfpElementClass:
 * @properties: table rows of the class and its ancestors; filled by afp_element_class_add_properties()
 * @check: (nullable): looks at the properties as a whole, before planning
 * @start: (nullable): after a good plan, before the first tensor
 * @stop: (nullable): always called once after start, also after errors (@ok tells)
 * @get_metrics: (nullable): what the element found out, for the report ("evals"); (transfer full)
 * @get_output: (nullable): for sinks: bytes of the file that was written, "location"...; (transfer full)
 * @settle: (nullable): every tensor was planned: looks at what they have in common
 * @prepare: (nullable): what needs the whole model before the first tensor; after start of all elements, upstream first
 * @request_pad: (nullable): one more pad, when all of that direction are linked (tee); (transfer none), or NULL: no more
 * @save_found: (nullable): what get_metrics() will need to know of the tensor called @tensor, which has passed; (transfer full) (nullable)
 * @restore_found: (nullable): takes over what save_found() gave in an earlier run for a tensor that does not pass again. Without
 *   these two an element with get_metrics() cannot go on with an interrupted run
 * @wants_held: (nullable): in a run that goes on with an interrupted one: is restore_tensor() needed for tensors that do not pass again?
 * @restore_tensor: (nullable): after restore_found(): @tensor as it passed in the earlier run, finalized
 * @judge: (nullable): every tensor has passed, no sink has been told of the end yet: what looks at the whole model, after which
 *   outputs are published. A required metric that is not met is %AFP_ERROR_METRIC; then nothing is published
 *
 * A stage of a pipeline. Authors subclass AfpSource, AfpSink, AfpTransform or AfpCodec.
 */
struct _AfpElementClass {
  GObjectClass parent_class;
  GPtrArray *properties; /* of AfpPropertySlot, private */
  const AfpPreset *presets;
  gsize n_presets;
  const char *blurb;
  const char *example;

  gboolean (*check) (AfpElement *self, GError **error);
  gboolean (*start) (AfpElement *self, AfpRun *run, GError **error);
  void (*stop) (AfpElement *self, gboolean ok);
  JsonNode *(*get_metrics) (AfpElement *self);
  JsonNode *(*get_output) (AfpElement *self);
  AfpPad *(*request_pad) (AfpElement *self, AfpPadDirection direction);
  JsonNode *(*save_found) (AfpElement *self, const char *tensor);
  gboolean (*restore_found) (AfpElement *self, AfpSpec *spec, JsonNode *found, GError **error);
  gboolean (*settle) (AfpElement *self, AfpPlan *plan, GError **error);
  gboolean (*prepare) (AfpElement *self, AfpRun *run, GError **error);
  gboolean (*judge) (AfpElement *self, AfpRun *run, GError **error);
  gboolean (*wants_held) (AfpElement *self);
  gboolean (*restore_tensor) (AfpElement *self, AfpTensor *tensor, GError **error);
  const AfpAnalysisInfo *analyses; /* afp_element_class_set_analyses() */
  gsize n_analyses;
  gpointer padding[4];
};

/* Class setup. @base_offset: 0, or the private offset of a base class. */
AFP_API void
afp_element_class_add_properties (AfpElementClass *klass, const AfpProperty *properties, gsize n,
                                  gssize base_offset);
AFP_API void
afp_element_class_set_presets (AfpElementClass *klass, const AfpPreset *presets, gsize n);
AFP_API void
afp_element_class_set_details (AfpElementClass *klass, const char *blurb, const char *example);

/* Introspection: the table rows of the class, base classes first. */
AFP_API const AfpProperty **
afp_element_class_list_properties (AfpElementClass *klass, gsize *n); /* (transfer container) */
AFP_API const AfpProperty *
afp_element_class_find_property (AfpElementClass *klass, const char *name); /* by name or alias */

/* Properties by name and text, as typed. Unknown names, bad values: AFP_ERROR_PROPERTY with the nearest name, range and default. */
AFP_API gboolean afp_element_set_property_text (AfpElement *self, const char *name,
                                                const char *text, GError **error);
AFP_API char *afp_element_get_property_text (AfpElement *self, const char *name);
/* "block-size=8 rank=3" or "block-size=8,rank=3" */
AFP_API gboolean afp_element_set_properties_text (AfpElement *self, const char *text,
                                                  GError **error);
AFP_API gboolean afp_element_property_is_set (AfpElement *self,
                                              const char *name); /* explicitly, not by default */
/* Applies a preset: only where the property was not set explicitly. */
AFP_API gboolean afp_element_apply_preset (AfpElement *self, const char *preset, GError **error);
AFP_API void afp_element_freeze (AfpElement *self); /* later writes are errors (g_critical) */

AFP_API const char *afp_element_get_name (AfpElement *self); /* unique in its pipeline: "seedlm0" */
AFP_API void afp_element_set_name (AfpElement *self, const char *name);
AFP_API const char *afp_element_get_factory_name (AfpElement *self); /* "seedlm" */
AFP_API void afp_element_set_factory_name (AfpElement *self, const char *name);

AFP_API AfpPad *afp_element_add_pad (AfpElement *self, const char *name, AfpPadDirection direction);
AFP_API AfpPad *afp_element_get_pad (AfpElement *self, AfpPadDirection direction,
                                     guint index); /* NULL past the end */
AFP_API guint afp_element_get_n_pads (AfpElement *self, AfpPadDirection direction);

AFP_API AfpRun *afp_element_get_run (AfpElement *self); /* between start and stop; else NULL */
AFP_API void afp_element_set_run (AfpElement *self, AfpRun *run);
AFP_API AfpPool *afp_element_get_pool (
    AfpElement *self); /* the run's pool; NULL outside of a run (loops run inline) */

G_END_DECLS
