/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing: one record for each parser. The same record is driven by
 *   fuzz-run.c        our own mutations, the same every time: `make check` (tests/test-fuzz.c) and build/tests/fuzz/afp-fuzz
 *   fuzz-libfuzzer.c  libFuzzer (make fuzz)
 * Seeds lie in tests/fuzz/seeds/RECORD/, past findings in tests/fuzz/findings/RECORD/. See CONTRIBUTING.md.
 */
#pragma once

#include "afpipe.h"

#include "io/reader.h"

/* --- records ------------------------------------------------------------------------------------------------------ */

/* The same numbers for the same start. */
typedef struct {
  guint64 state;
} FuzzRandom;
guint64 fuzz_random (FuzzRandom *random);
guint64 fuzz_below (FuzzRandom *random, guint64 n); /* 0..n-1; 0 for n = 0 */

/**
 * FuzzRecord:
 * @run: hands the bytes to the parser. Returns normally whatever they are; calls fuzz_fail() where the parser broke its word
 * @mend: (nullable): makes lengths fit again after a mutation, so that it gets past the first check
 * @memory, @factor: a run may hold @memory + @factor * (bytes of the input) of the heap at a time
 */
typedef struct {
  const char *name;
  const char *blurb;
  void (*run) (const guint8 *bytes, gsize n);
  void (*mend) (GByteArray *bytes);
  guint64 memory;
  guint64 factor;
} FuzzRecord;

extern const FuzzRecord *const fuzz_records[]; /* ends with NULL */
const FuzzRecord *fuzz_find (const char *name);

extern const FuzzRecord fuzz_safetensors, fuzz_safetensors_index, fuzz_llama2c, fuzz_gguf,
    fuzz_numpy, fuzz_keras, fuzz_keras_listing, fuzz_afp, fuzz_vptq; /* fuzz-files.c */
extern const FuzzRecord fuzz_tables;                                 /* fuzz-tables.c */
extern const FuzzRecord fuzz_pipeline, fuzz_study, fuzz_json, fuzz_rules,
    fuzz_caps;                                                 /* fuzz-texts.c */
extern const FuzzRecord fuzz_recipe, fuzz_decode, fuzz_params; /* fuzz-codecs.c */
extern const FuzzRecord fuzz_tasks, fuzz_lm_config;            /* fuzz-runtime.c */
extern const FuzzRecord fuzz_tokenizer_json, fuzz_tokenizer_gguf,
    fuzz_tokenizer_llama2c;                          /* fuzz-tokenizers.c */
extern const FuzzRecord fuzz_images, fuzz_keras_net; /* fuzz-nets.c */
extern const FuzzRecord fuzz_journal, fuzz_moments;  /* fuzz-kept.c */

/* Prints what is wrong and ends the process, as a crash would. */
G_NORETURN void fuzz_fail (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* A function failed: it must say why, in our domain, as text. Clears the error. */
void fuzz_check_error (GError **error);

/* What records share. */
char *fuzz_path (const char *name); /* in a folder of this process */
void fuzz_put (const char *path, const guint8 *bytes, gsize n);
void fuzz_cleanup (void); /* removes that folder */
/* The next line of a text that is input, without its end; NULL at the end of the bytes. (transfer full) */
char *fuzz_line (const guint8 **at, const guint8 *end);
void fuzz_decode_tensor (AfpTensor *tensor);
/* Opens the file, plans, reads and decodes all of it. */
void fuzz_read_model (const AfpReader *reader, const char *path);

/* --- mutations (fuzz-mutate.c) ------------------------------------------------------------------------------------ */

/* Mutation number @index of the seeds (element-type GBytes). */
GBytes *fuzz_mutate (const FuzzRecord *record, const GPtrArray *seeds, guint64 index);
/* All files of tests/fuzz/FOLDER/RECORD, by name. (element-type GBytes); names: (element-type char*), nullable */
GPtrArray *fuzz_load (const char *folder, const char *record, GPtrArray **names);

/* --- the heap (fuzz-alloc.c) -------------------------------------------------------------------------------------- */

void fuzz_alloc_start (void);
gsize fuzz_alloc_stop (
    void); /* most bytes held at a time since fuzz_alloc_start(), above what was held then */
gboolean
fuzz_leaks (void); /* the sanitizer found a leak since the last call; FALSE where there is none */

/* --- driver (fuzz-run.c) ------------------------------------------------------------------------------------------ */

typedef GBytes *(*FuzzInput) (guint64 index, gpointer user_data);

/**
 * FuzzReport:
 * @tried: inputs
 * @findings: inputs that crashed, hung, leaked or took too much memory
 * @refused: inputs with an error, as it should be
 * @peak: most memory that an input took
 * @text: what was found, a line each: "INDEX: crashed (Segmentation fault)"
 * @inputs: (element-type GBytes): of the findings
 */
typedef struct {
  guint64 tried;
  guint64 refused;
  guint findings;
  guint64 peak;
  GString *text;
  GPtrArray *inputs;
} FuzzReport;

/* Runs inputs @first .. @first + n - 1 in worker processes, each input with so many seconds. Goes on after a finding. */
FuzzReport *fuzz_drive (const FuzzRecord *record, FuzzInput input, gpointer user_data,
                        guint64 first, guint64 n, guint seconds);
void fuzz_report_free (FuzzReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FuzzReport, fuzz_report_free)
