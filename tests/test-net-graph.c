/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-net-graph.h"

#include <stdarg.h>

/* A node with these inputs, ended by -1. */
static AfpNetNode *
node_of (AfpNetOp op, ...)
{
  AfpNetNode *node = g_new0 (AfpNetNode, 1);
  va_list args;

  node->op = op;
  node->name = g_strdup ("n");
  node->class_name = "C";
  node->inputs = g_new (guint, 8);
  node->groups = 1;
  node->outputs = 4;
  node->kernel[0] = "kernel";
  node->window = (AfpNetWindow){ .kernel_height = 3,
                                 .kernel_width = 2,
                                 .stride_height = 1,
                                 .stride_width = 1,
                                 .dilation_height = 1,
                                 .dilation_width = 1 };
  va_start (args, op);
  for (int input = va_arg (args, int); input >= 0; input = va_arg (args, int))
    node->inputs[node->n_inputs++] = (guint) input;
  va_end (args);
  return node;
}

/* A graph with an input of 8 x 7 x 6. */
static AfpNetGraph *
graph_of (void)
{
  AfpNetGraph *graph = afp_net_graph_new ();
  AfpNetNode *input = node_of (AFP_NET_INPUT, -1);

  input->shape = (AfpNetShape){ 3, { 8, 7, 6 } };
  ck_assert (afp_net_graph_add (graph, input, NULL));
  return graph;
}

#define add(graph, node)                                                                           \
  do {                                                                                             \
    GError *error_ = NULL;                                                                         \
    ck_assert_msg (afp_net_graph_add (graph, node, &error_), "%s", error_ ? error_->message : ""); \
  } while (0)

static void
assert_shape (const AfpNetGraph *graph, guint index, const char *expected)
{
  assert_text (afp_net_shape_to_string (&afp_net_graph_get (graph, index)->shape), expected);
}

/* --- shapes ------------------------------------------------------------------------------------------------------- */

/* kernel, stride, dilation (rows, columns), same; the output */
static const struct {
  size_t kernel[2], stride[2], dilation[2];
  gboolean is_same;
  const char *shape;
  size_t top, left;
} windows[] = {
  { { 3, 2 }, { 1, 1 }, { 1, 1 }, FALSE, "6x6x4", 0, 0 },
  { { 3, 2 }, { 1, 1 }, { 1, 1 }, TRUE, "8x7x4", 1, 0 },
  { { 3, 3 }, { 2, 2 }, { 1, 1 }, TRUE, "4x4x4", 0, 1 },
  { { 3, 3 }, { 2, 3 }, { 1, 1 }, FALSE, "3x2x4", 0, 0 },
  { { 3, 3 }, { 1, 1 }, { 3, 2 }, TRUE, "8x7x4", 3, 2 },
  { { 3, 3 }, { 1, 1 }, { 3, 2 }, FALSE, "2x3x4", 0, 0 },
  { { 8, 7 }, { 5, 5 }, { 1, 1 }, FALSE, "1x1x4", 0, 0 },
  { { 1, 1 }, { 9, 9 }, { 1, 1 }, TRUE, "1x1x4", 0, 0 },
};

START_TEST (windows_fit_as_in_tensorflow)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *node = node_of (AFP_NET_CONV, 0, -1);
  AfpNetWindow *w = &node->window;

  w->kernel_height = windows[_i].kernel[0];
  w->kernel_width = windows[_i].kernel[1];
  w->stride_height = windows[_i].stride[0];
  w->stride_width = windows[_i].stride[1];
  w->dilation_height = windows[_i].dilation[0];
  w->dilation_width = windows[_i].dilation[1];
  node->is_same = windows[_i].is_same;
  add (graph, node);
  assert_shape (graph, 1, windows[_i].shape);
  ck_assert_uint_eq (node->window.top, windows[_i].top);
  ck_assert_uint_eq (node->window.left, windows[_i].left);
}
END_TEST

START_TEST (weights_have_the_shape_of_the_view)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *conv = node_of (AFP_NET_CONV, 0, -1), *depthwise = node_of (AFP_NET_DEPTHWISE, 0, -1),
             *dense = node_of (AFP_NET_DENSE, 0, -1), *norm = node_of (AFP_NET_NORM, 0, -1);

  conv->groups = 2;
  conv->has_bias = TRUE;
  norm->has_gamma = TRUE;
  add (graph, conv);
  add (graph, depthwise);
  add (graph, dense);
  add (graph, norm);
  ck_assert_uint_eq (conv->n_weights, 2);
  ck_assert (conv->weights[0].rows == 4 && conv->weights[0].cols == 3 * 2 * 3);
  ck_assert (conv->weights[1].rows == 1 && conv->weights[1].cols == 4);
  ck_assert_uint_eq (depthwise->n_weights, 1);
  ck_assert (depthwise->weights[0].rows == 24 && depthwise->weights[0].cols == 6);
  assert_shape (graph, 2, "6x6x24");
  ck_assert (dense->weights[0].rows == 4 && dense->weights[0].cols == 6);
  assert_shape (graph, 3, "8x7x4");
  ck_assert_uint_eq (norm->n_weights, 3);
  ck_assert_str_eq (norm->weights[0].names[0], "gamma");
  ck_assert_str_eq (norm->weights[1].names[0], "moving_mean");
}
END_TEST

START_TEST (pools_reshapes_and_joins_have_their_shapes)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *pool = node_of (AFP_NET_MAX_POOL, 0, -1), *global = node_of (AFP_NET_MAX_POOL, 0, -1),
             *flat = node_of (AFP_NET_RESHAPE, 0, -1), *other = node_of (AFP_NET_RESHAPE, 0, -1),
             *join = node_of (AFP_NET_CONCATENATE, 0, 5, -1),
             *around = node_of (AFP_NET_SURROUND, 0, -1);

  global->is_global = global->is_flat = TRUE;
  flat->shape = (AfpNetShape){ 1, { AFP_NET_ANY } };
  other->shape = (AfpNetShape){ 3, { 2, AFP_NET_ANY, 7 } };
  join->axis = -1;
  around->window.top = 1;
  around->bottom = 2;
  around->right = 5;
  add (graph, pool);
  add (graph, global);
  add (graph, flat);
  add (graph, other);
  add (graph, node_of (AFP_NET_ACTIVATE, 0, -1));
  add (graph, join);
  add (graph, around);
  assert_shape (graph, 1, "6x6x6");
  assert_shape (graph, 2, "6");
  assert_shape (graph, 3, "336");
  assert_shape (graph, 4, "2x24x7");
  assert_shape (graph, 6, "8x7x12");
  assert_shape (graph, 7, "11x12x6");
}
END_TEST

START_TEST (sums_put_the_largest_first)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *global = node_of (AFP_NET_AVERAGE_POOL, 0, -1),
             *sum = node_of (AFP_NET_MULTIPLY, 1, 0, -1);

  global->is_global = TRUE;
  add (graph, global);
  add (graph, sum);
  assert_shape (graph, 1, "1x1x6");
  assert_shape (graph, 2, "8x7x6");
  ck_assert_uint_eq (sum->inputs[0], 0);
  ck_assert_uint_eq (sum->inputs[1], 1);
}
END_TEST

/* --- memory ------------------------------------------------------------------------------------------------------- */

static guint
buffer (const AfpNetGraph *graph, guint index)
{
  return afp_net_graph_get (graph, index)->buffer;
}

START_TEST (chains_work_in_place)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *flat = node_of (AFP_NET_RESHAPE, 2, -1);

  flat->shape = (AfpNetShape){ 1, { AFP_NET_ANY } };
  add (graph, node_of (AFP_NET_NORM, 0, -1));
  add (graph, node_of (AFP_NET_ACTIVATE, 1, -1));
  add (graph, flat);
  add (graph, node_of (AFP_NET_DENSE, 3, -1));
  ck_assert (afp_net_graph_finish (graph, 4, NULL));
  for (guint i = 0; i < 4; i++)
    ck_assert_uint_eq (buffer (graph, i), 0);
  ck_assert_uint_eq (buffer (graph, 4), 4);
  ck_assert_uint_eq (afp_net_graph_get (graph, 0)->last, 4);
  ck_assert_uint_eq (graph->peak, 8 * 7 * 6 + 4);
}
END_TEST

START_TEST (what_is_needed_later_is_kept)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();

  add (graph, node_of (AFP_NET_ACTIVATE, 0, -1)); /* not in place: 3 looks at the input */
  add (graph, node_of (AFP_NET_ACTIVATE, 1, -1));
  add (graph, node_of (AFP_NET_ADD, 2, 0, -1));
  ck_assert (afp_net_graph_finish (graph, 3, NULL));
  ck_assert_uint_eq (buffer (graph, 1), 1);
  ck_assert_uint_eq (buffer (graph, 2), 1);
  ck_assert_uint_eq (buffer (graph, 3), 1);
  ck_assert_uint_eq (afp_net_graph_get (graph, 0)->last, 3);
  ck_assert_uint_eq (graph->peak, 2 * 8 * 7 * 6);
}
END_TEST

/* A reshape is the same memory: what works on it would spoil what looks at its input. */
START_TEST (a_reshape_protects_its_input)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();

  add (graph, node_of (AFP_NET_RESHAPE, 0, -1));
  add (graph, node_of (AFP_NET_ACTIVATE, 1, -1));
  add (graph, node_of (AFP_NET_ADD, 2, 0, -1));
  ck_assert (afp_net_graph_finish (graph, 3, NULL));
  ck_assert_uint_eq (buffer (graph, 1), 0);
  ck_assert_uint_eq (buffer (graph, 2), 2);
}
END_TEST

START_TEST (a_sum_of_one_with_itself_is_not_in_place)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();

  add (graph, node_of (AFP_NET_ADD, 0, 0, 0, -1));
  ck_assert (afp_net_graph_finish (graph, 1, NULL));
  ck_assert_uint_eq (buffer (graph, 1), 1);
}
END_TEST

START_TEST (a_softmax_at_the_end_is_taken_off)
{
  for (guint kept = 0; kept < 2; kept++) {
    g_autoptr (AfpNetGraph) graph = graph_of ();
    AfpNetNode *global = node_of (AFP_NET_AVERAGE_POOL, 0, -1),
               *soft = node_of (AFP_NET_ACTIVATE, 1, -1);
    global->is_global = TRUE;
    soft->activation.function = AFP_NET_SOFTMAX;
    add (graph, global);
    add (graph, soft);
    /* Behind a reshape it is the end; before a layer it is none. */
    add (graph, node_of (kept ? AFP_NET_DENSE : AFP_NET_RESHAPE, 2, -1));
    ck_assert (afp_net_graph_finish (graph, 3, NULL));
    ck_assert_int_eq (graph->has_softmax, !kept);
    ck_assert_int_eq (soft->activation.function, kept ? AFP_NET_SOFTMAX : AFP_NET_LINEAR);
  }
}
END_TEST

/* Over the channels of each pixel: there is more than one sum. */
START_TEST (a_softmax_of_pixels_stays)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *soft = node_of (AFP_NET_ACTIVATE, 0, -1);

  soft->activation.function = AFP_NET_SOFTMAX;
  add (graph, soft);
  ck_assert (afp_net_graph_finish (graph, 1, NULL));
  ck_assert (!graph->has_softmax);
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

#define assert_refused(graph, node, ...)                                  \
  do {                                                                    \
    GError *error_ = NULL;                                                \
    ck_assert (!afp_net_graph_add (graph, node, &error_));                \
    assert_error (error_, AFP_ERROR_PLAN, "layer 'n' (C) ", __VA_ARGS__); \
  } while (0)

START_TEST (windows_that_cannot_be_are_refused)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *node = node_of (AFP_NET_CONV, 0, -1);

  node->window.kernel_height = 9;
  assert_refused (graph, node, "a window of 9 on an axis of 8");
  node = node_of (AFP_NET_MAX_POOL, 0, -1);
  node->window.stride_width = 0;
  assert_refused (graph, node, "stride 0", "they may be 1 to 16777216");
  node = node_of (AFP_NET_CONV, 0, -1);
  node->window.dilation_width = 7;
  assert_refused (graph, node, "a window of 8 on an axis of 7");
  node = node_of (AFP_NET_DEPTHWISE, 0, -1);
  node->window.kernel_width = G_MAXSIZE;
  assert_refused (graph, node, "they may be 1 to 16777216");
}
END_TEST

START_TEST (groups_that_do_not_divide_are_refused)
{
  static const struct {
    guint64 groups, outputs;
  } bad[] = { { 0, 4 }, { 4, 4 }, { 3, 4 }, { G_MAXUINT64, 4 } };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (AfpNetGraph) graph = graph_of ();
    AfpNetNode *node = node_of (AFP_NET_CONV, 0, -1);
    node->groups = bad[i].groups;
    node->outputs = bad[i].outputs;
    assert_refused (graph, node, "groups for 6 channels and 4 filters");
  }
}
END_TEST

START_TEST (sizes_without_bound_are_refused)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *node = node_of (AFP_NET_DENSE, 0, -1);

  node->outputs = 0;
  assert_refused (graph, node, "has 0 outputs");
  node = node_of (AFP_NET_DENSE, 0, -1);
  node->outputs = (1u << 24) + 1;
  assert_refused (graph, node, "has 16777217 outputs; it may have 1 to 16777216");
  node = node_of (AFP_NET_DENSE, 0, -1);
  node->outputs = 1u << 24;
  assert_refused (graph, node, "more than the 67108864 numbers");
  node = node_of (AFP_NET_SURROUND, 0, -1);
  node->bottom = 1u << 24;
  assert_refused (graph, node, "an axis of 16777224");
  node = node_of (AFP_NET_CONV, 0, -1);
  node->is_same = TRUE;
  node->window.kernel_height = node->window.kernel_width = 1u << 13;
  assert_refused (graph, node, "has windows of 8192 x 8192 x 6 numbers");
}
END_TEST

START_TEST (shapes_that_do_not_go_together_are_refused)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *flat = node_of (AFP_NET_RESHAPE, 0, -1), *node;

  flat->shape = (AfpNetShape){ 1, { AFP_NET_ANY } };
  add (graph, flat);
  assert_refused (graph, node_of (AFP_NET_CONV, 1, -1), "height x width x channels, and gets 336");
  assert_refused (graph, node_of (AFP_NET_ADD, 0, 1, -1), "8x7x6 and 336", "do not go together");
  assert_refused (graph, node_of (AFP_NET_CONCATENATE, 0, 1, -1), "joins 8x7x6 and 336");
  node = node_of (AFP_NET_CONCATENATE, 0, 0, -1);
  node->axis = 3;
  assert_refused (graph, node, "an axis that there is not (rank 3)");
  node = node_of (AFP_NET_CONCATENATE, 0, 0, -1);
  node->axis = -4;
  assert_refused (graph, node, "an axis that there is not");
}
END_TEST

static const AfpNetShape shapes[] = { { 1, { 335 } },
                                      { 2, { 5, AFP_NET_ANY } },
                                      { 2, { AFP_NET_ANY, AFP_NET_ANY } },
                                      { 2, { 0, AFP_NET_ANY } },
                                      { 3, { 1u << 31, 1u << 31, 1u << 31 } },
                                      { 2, { G_MAXUINT64 - 1, 2 } } };

START_TEST (reshapes_that_do_not_fit_are_refused)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  AfpNetNode *node = node_of (AFP_NET_RESHAPE, 0, -1);

  node->shape = shapes[_i];
  assert_refused (graph, node, "cannot give 8x7x6 another shape");
}
END_TEST

START_TEST (there_is_one_input_and_it_is_first)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();
  g_autoptr (AfpNetGraph) empty = afp_net_graph_new ();
  GError *error = NULL;

  assert_refused (graph, node_of (AFP_NET_INPUT, -1), "is a second input");
  assert_refused (empty, node_of (AFP_NET_DENSE, -1), "comes before the input");
  ck_assert (!afp_net_graph_finish (graph, 0, &error));
  assert_error (error, AFP_ERROR_PLAN, "no layers behind its input");
}
END_TEST

START_TEST (too_many_layers_are_refused)
{
  g_autoptr (AfpNetGraph) graph = graph_of ();

  for (guint i = 1; i < AFP_NET_MAX_NODES; i++)
    add (graph, node_of (AFP_NET_ACTIVATE, (int) i - 1, -1));
  assert_refused (graph, node_of (AFP_NET_ACTIVATE, 0, -1), "one too many", "4096 layers");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, windows_fit_as_in_tensorflow, 0, G_N_ELEMENTS (windows));
  tcase_add_test (tcase, weights_have_the_shape_of_the_view);
  tcase_add_test (tcase, pools_reshapes_and_joins_have_their_shapes);
  tcase_add_test (tcase, sums_put_the_largest_first);
  tcase_add_test (tcase, chains_work_in_place);
  tcase_add_test (tcase, what_is_needed_later_is_kept);
  tcase_add_test (tcase, a_reshape_protects_its_input);
  tcase_add_test (tcase, a_sum_of_one_with_itself_is_not_in_place);
  tcase_add_test (tcase, a_softmax_at_the_end_is_taken_off);
  tcase_add_test (tcase, a_softmax_of_pixels_stays);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, windows_that_cannot_be_are_refused);
  tcase_add_test (tcase, groups_that_do_not_divide_are_refused);
  tcase_add_test (tcase, sizes_without_bound_are_refused);
  tcase_add_test (tcase, shapes_that_do_not_go_together_are_refused);
  tcase_add_loop_test (tcase, reshapes_that_do_not_fit_are_refused, 0, G_N_ELEMENTS (shapes));
  tcase_add_test (tcase, there_is_one_input_and_it_is_first);
  tcase_add_test (tcase, too_many_layers_are_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("net-graph", cases, G_N_ELEMENTS (cases));
}
