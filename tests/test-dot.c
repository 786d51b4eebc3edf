/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

static char *
dot_of (const char *text, gboolean planned)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (text);

  if (planned)
    afp_pipeline_plan (pipeline, NULL);
  return afp_pipeline_to_dot (pipeline);
}

#define has(dot, text) ck_assert_msg (strstr ((dot), (text)) != NULL, "not in:\n%s", (dot))
#define has_not(dot, text) ck_assert_msg (strstr ((dot), (text)) == NULL, "is in:\n%s", (dot))

START_TEST (a_plan)
{
  g_autofree char *dot = dot_of ("tsource n=3 rows=100 ! f16 name=half ! tsink", TRUE);

  ck_assert (g_str_has_prefix (dot, "digraph afpipe {\n"));
  ck_assert (g_str_has_suffix (dot, "}\n"));
  has (dot, "  \"tsource0\" [label=\"tsource0\\ntsource\\nn=3\\nrows=100\"];\n");
  has (dot,
       "  \"half\" [label=\"half\\nf16\\ntakes weight in 3: 2.38 KiB, without it 4.70 KiB\"];\n");
  has (dot, "  \"queue 0.0\" [label=\"queue\", shape=cds];\n");
  has (
      dot,
      "  \"tsource0\" -> \"queue 0.0\" [label=\"tensor\\n3 tensors\\n4.73 KiB\", taillabel=\"src\"];\n");
  has (dot, "  \"queue 0.0\" -> \"half\" [label=\"\", headlabel=\"sink\"];\n");
  has (dot, "  \"half\" -> \"queue 1.0\" [label=\"tensor\\n3 tensors\\n");
  has (dot, "  \"queue 1.0\" -> \"tsink0\" ");
}
END_TEST

START_TEST (what_is_left)
{
  g_autofree char *dot = dot_of ("tsource n=3 ! f16 exclude=* ! tsink", TRUE);

  has (dot, "leaves weight in 3\"];");
}
END_TEST

START_TEST (without_a_plan)
{
  g_autofree char *dot = dot_of ("tsource n=3 ! f16 ! tsink", FALSE);

  has (dot, "[label=\"tensor\", taillabel=\"src\"]");
  has_not (dot, "takes");
  has_not (dot, "tensors");
}
END_TEST

START_TEST (a_failed_plan)
{
  g_autofree char *dot = dot_of ("tsource n=3 fail-open=true ! tsink", TRUE);

  has (dot, "  \"tsource0\" -> \"queue 0.0\" [label=\"tensor\", ");
  has_not (dot, "3 tensors");
}
END_TEST

START_TEST (source_and_sink_side_by_side)
{
  g_autofree char *dot = dot_of ("tsource n=1 ! tsink", FALSE);

  has (dot, "  \"queue 0.0\" -> \"queue 0.1\" [label=\"\"];\n");
  has (dot, "  \"queue 0.1\" -> \"tsink0\" [label=\"\", headlabel=\"sink\"];\n");
  has_not (dot, "queue 1");
}
END_TEST

/* Quotes, backslashes and newlines of values end no string. */
START_TEST (escapes)
{
  g_autofree char *dot = dot_of ("tsource n=1 ! tpass require='a\"b\\c\nd' ! tsink", FALSE);

  has (dot, "require=a\\\"b\\\\c\\nd\"];\n");
}
END_TEST

START_TEST (assertions)
{
  g_autofree char *dot = dot_of ("tsource n=1 ! tensor,dtype=f32,rank=2 ! tsink", FALSE);

  has (dot, "  \"assert0\" [label=\"assert0\\nassert\\ncaps=tensor,dtype=f32,rank=2\"];\n");
}
END_TEST

static TCase *
make_dot (void)
{
  TCase *tcase = tcase_create ("dot");
  tcase_add_test (tcase, a_plan);
  tcase_add_test (tcase, what_is_left);
  tcase_add_test (tcase, without_a_plan);
  tcase_add_test (tcase, a_failed_plan);
  tcase_add_test (tcase, source_and_sink_side_by_side);
  tcase_add_test (tcase, escapes);
  tcase_add_test (tcase, assertions);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_dot };
  pipe_register ();
  return run_suite ("dot", cases, G_N_ELEMENTS (cases));
}
