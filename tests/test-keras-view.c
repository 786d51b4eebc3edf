/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "io/keras-view.h"

static const char config[] =
    "{\"class_name\":\"Functional\",\"config\":{\"name\":\"model\",\"layers\":["
    "{\"class_name\":\"Dense\",\"config\":{\"name\":\"dense\"},\"name\":\"dense\"},"
    "{\"class_name\":\"Conv1D\",\"config\":{\"name\":\"conv1d\"}},"
    "{\"class_name\":\"Conv1D\",\"config\":{\"name\":\"query\"}},"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"conv2d\",\"groups\":1}},"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"grouped\",\"groups\":4}},"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"odd\",\"groups\":3}},"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"strange\",\"groups\":\"4\"}},"
    "{\"class_name\":\"Conv2DTranspose\",\"config\":{\"name\":\"up\"}},"
    "{\"class_name\":\"Conv3D\",\"config\":{\"name\":\"conv3d\"}},"
    "{\"class_name\":\"DepthwiseConv2D\",\"config\":{\"name\":\"depthwise\"}},"
    "{\"class_name\":\"SeparableConv2D\",\"config\":{\"name\":\"separable\"}},"
    "{\"class_name\":\"Embedding\",\"config\":{\"name\":\"embedding\"}},"
    "{\"class_name\":\"LSTM\",\"config\":{\"name\":\"lstm\"}},"
    "{\"class_name\":\"MultiHeadAttention\",\"config\":{\"name\":\"attention\"}},"
    "{\"class_name\":\"TimeDistributed\",\"config\":{\"name\":\"wrapped\",\"layer\":"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"inner_conv\",\"groups\":2}}}},"
    "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"nested\",\"layers\":["
    "{\"class_name\":\"DepthwiseConv2D\",\"config\":{\"name\":\"deep\"}}]}},"
    "7,{\"class_name\":3,\"config\":{\"name\":\"x\"}},{\"config\":null}]}}";

static const struct {
  const char *layer, *weight;
  guint rank;
  guint64 shape[5];
  const char *view; /* NULL: none */
} cases[] = {
  { "dense", "dense/kernel:0", 2, { 64, 10 }, "in:1" },
  { "dense", "dense/bias:0", 1, { 10 }, NULL },
  { "dense", "kernel", 2, { 64, 10 }, "in:1" },
  { "dense", "", 2, { 64, 10 }, "in:1" },
  { "conv1d", "conv1d/kernel:0", 3, { 5, 8, 16 }, "in:2" },
  { "query", "query/kernel:0", 3, { 5, 8, 16 }, "in:2" },
  { "conv2d", "conv2d/kernel:0", 4, { 3, 3, 8, 16 }, "in:3" },
  { "grouped", "grouped/kernel:0", 4, { 3, 3, 2, 16 }, "in:3/4" },
  { "grouped", "grouped/bias:0", 1, { 16 }, NULL },
  { "odd", "odd/kernel:0", 4, { 3, 3, 2, 16 }, "in:3" },
  { "strange", "strange/kernel:0", 4, { 3, 3, 2, 16 }, "in:3" },
  { "up", "up/kernel:0", 4, { 2, 2, 16, 8 }, "out:3" },
  { "conv3d", "conv3d/kernel:0", 5, { 3, 3, 3, 8, 16 }, "in:4" },
  { "depthwise", "depthwise/depthwise_kernel:0", 4, { 3, 3, 32, 1 }, "in:2/32" },
  { "depthwise", "depthwise/kernel", 4, { 3, 3, 32, 2 }, "in:2/32" },
  { "separable", "separable/depthwise_kernel:0", 4, { 3, 3, 32, 1 }, "in:2/32" },
  { "separable", "separable/pointwise_kernel:0", 4, { 1, 1, 32, 64 }, "in:3" },
  { "embedding", "embedding/embeddings:0", 2, { 1000, 64 }, "out:1" },
  { "lstm", "lstm/lstm_cell/kernel:0", 2, { 16, 128 }, "in:1" },
  { "lstm", "lstm/lstm_cell/recurrent_kernel:0", 2, { 32, 128 }, "in:1" },
  { "attention", "attention/query/kernel:0", 3, { 64, 4, 16 }, "in:1" },
  { "attention", "attention/attention_output/kernel:0", 3, { 4, 16, 64 }, "in:2" },
  { "attention", "attention/query/bias:0", 2, { 4, 16 }, "in:1" },
  { "wrapped", "inner_conv/kernel:0", 4, { 3, 3, 2, 16 }, "in:3/2" },
  { "nested", "deep/kernel:0", 4, { 3, 3, 32, 1 }, "in:2/32" },
  { "unknown", "a/b/c:0", 3, { 2, 3, 4 }, "in:2" },
};

static void
check_view (GHashTable *layers, const char *layer, const char *weight, guint rank,
            const guint64 *shape, const char *expected)
{
  AfpView view;
  const gboolean has = afp_keras_view (layers, layer, weight, rank, shape, &view);
  g_autofree char *text = has ? afp_view_to_string (&view) : NULL;
  ck_assert_msg (g_strcmp0 (text, expected) == 0, "%s: %s, not %s", weight, text ? text : "none",
                 expected ? expected : "none");
  if (has && rank > 1)
    ck_assert (view.split >= 1 && view.split < rank);
}

START_TEST (with_a_config)
{
  g_autoptr (JsonNode) node = json_from_string (config, NULL);
  g_autoptr (GHashTable) layers = afp_keras_list_layers (node);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    check_view (layers, cases[i].layer, cases[i].weight, cases[i].rank, cases[i].shape,
                cases[i].view);
}
END_TEST

START_TEST (without_a_config)
{
  const guint64 shape[] = { 3, 3, 32, 1 };
  check_view (NULL, "x", "x/kernel:0", 1, shape, NULL);
  check_view (NULL, "x", "x/kernel:0", 2, shape, "in:1");
  check_view (NULL, "x", "x/kernel:0", 4, shape, "in:3");
  check_view (NULL, "x", "x/depthwise_kernel:0", 4, shape, "in:2/32");
  check_view (NULL, "x", "x/embeddings:0", 2, shape, "out:1");
}
END_TEST

START_TEST (empty_axes)
{
  const guint64 shape[] = { 3, 3, 0, 1 };
  check_view (NULL, "x", "x/depthwise_kernel:0", 4, shape, "in:2");
}
END_TEST

START_TEST (configs_that_are_none)
{
  static const char *const texts[] = { "3",
                                       "[]",
                                       "{}",
                                       "{\"config\":3}",
                                       "{\"config\":{\"layers\":3}}",
                                       "{\"config\":{\"layer\":[],\"layers\":[[],3,null]}}",
                                       "{\"class_name\":\"Dense\",\"config\":{\"name\":7}}" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (JsonNode) node = json_from_string (texts[i], NULL);
    g_autoptr (GHashTable) layers = afp_keras_list_layers (node);
    ck_assert_uint_eq (g_hash_table_size (layers), 0);
  }
  g_autoptr (GHashTable) none = afp_keras_list_layers (NULL);
  ck_assert_uint_eq (g_hash_table_size (none), 0);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("view");
  tcase_add_test (tcase, with_a_config);
  tcase_add_test (tcase, without_a_config);
  tcase_add_test (tcase, empty_axes);
  tcase_add_test (tcase, configs_that_are_none);
  return tcase;
}

int
main (void)
{
  static TCase *(*const suites[]) (void) = { all };
  return run_suite ("keras-view", suites, G_N_ELEMENTS (suites));
}
