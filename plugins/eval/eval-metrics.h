/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "eval-kernel.h"

/* What eval knows of one tensor, and of all. */
typedef struct {
  char *name;
  char *recipe;
  guint64 weights;
  guint64 bytes;
  GHashTable *codecs; /* name of codec -> guint64 *: bytes of its planes */
  gboolean judged;    /* an original was at hand */
  EvalSums sums;
} EvalRecord;

typedef struct {
  GPtrArray *records; /* EvalRecord, in the order of the stream */
  GHashTable *names;  /* name -> EvalRecord, the last one */
  GHashTable *codecs; /* as in a record: all of them */
  GHashTable *recipes;
  GHashTable *seen; /* shared planes that were counted */
  guint64 weights, bytes;
  EvalSums sums;
  guint n_judged;
} EvalTotals;

EvalTotals *eval_totals_new (void);
void eval_totals_free (EvalTotals *totals);
void eval_totals_add (EvalTotals *totals, AfpTensor *final, const EvalSums *sums);
/* What is known of one tensor, exactly, and back: in another run. NULL: nothing. FALSE: @found is damaged. */
JsonNode *eval_totals_save (const EvalTotals *totals, const char *tensor);
gboolean eval_totals_restore (EvalTotals *totals, AfpSpec *spec, JsonNode *found, GError **error);
/* "nmse", "sqnr_db", "cosine", "max_abs_error", "weights", "bytes", "bits_per_weight"; NaN: no value. FALSE: no such metric. */
gboolean eval_totals_get (const EvalTotals *totals, const char *metric, double *value);
extern const char *const eval_metric_names[];
JsonNode *eval_totals_to_json (const EvalTotals *totals);

/* The sums of decoded against original, on the pool, the same for any number of threads. */
gboolean eval_compare (AfpMatrix *original, AfpMatrix *decoded, AfpPool *pool, EvalSums *sums,
                       GError **error);
