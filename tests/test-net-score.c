/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "net-test.h"

#include <math.h>

/* --- published figures -------------------------------------------------------------------------------------------- */

/* models/fashion-mnist/README.md and the README of the shared data: hits, from other implementations. */
static const struct {
  gboolean shared;
  const char *model, *images, *labels;
  float scale;
  gsize hits;
} figures[] = {
  { FALSE, "models/fashion-mnist/model.h5", "models/fashion-mnist/images-idx3-ubyte.gz",
    "models/fashion-mnist/labels-idx1-ubyte.gz", 1.0f / 255, 939 },
  { TRUE, "vision/resnet8_cifar10.h5", "vision/cifar10_1000.npz", NULL, 1, 751 },
};

START_TEST (networks_score_as_published)
{
  g_autofree char *model = net_test_path (figures[_i].shared, figures[_i].model),
                  *file = net_test_path (figures[_i].shared, figures[_i].images),
                  *labels = figures[_i].labels ? net_test_path (FALSE, figures[_i].labels) : NULL;
  const AfpNetOptions options = { figures[_i].scale, 0 };
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  AfpNetScore score;
  GError *error = NULL;

  if (!model)
    return;
  g_autoptr (NetTest) test = net_test_new (model);
  g_autoptr (AfpNet) net = net_test_net (test, NULL);
  g_autoptr (AfpImages) images = afp_images_load (file, labels, &error);
  ck_assert_msg (images != NULL, "%s", error ? error->message : "");
  ck_assert (afp_net_score (&net, 1, NULL, images, &options, pool, NULL, NULL, &score, NULL));
  ck_assert_uint_eq (score.n, 1000);
  ck_assert_uint_eq (score.hits, figures[_i].hits);
  ck_assert_double_eq (score.accuracy, (double) figures[_i].hits / 1000);
  ck_assert_double_eq (score.kl_mean, 0);
  ck_assert_double_eq (score.same_top1, 1);
}
END_TEST

/* --- two networks side by side ------------------------------------------------------------------------------------ */

/* The same network twice, the second with other weights in its last layer. */
typedef struct {
  NetTest *model, *data;
  AfpImages *images;
  AfpNet *nets[2];
  float factor; /* of what dense_1/kernel:0 has in the second */
} Pair;

static gboolean
read_scaled (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
             float *out, GError **error)
{
  const Pair *pair = user_data;
  g_autoptr (AfpMatrix) matrix = net_test_open (pair->model, "dense_1/kernel:0", error);

  if (!afp_matrix_read (matrix, row, n_rows, col, n_cols, out, error))
    return FALSE;
  for (guint64 i = 0; i < n_rows * n_cols; i++)
    out[i] *= pair->factor;
  return TRUE;
}

static AfpMatrix *
open_scaled (gpointer user_data, const char *name, GError **error)
{
  Pair *pair = user_data;
  AfpMatrix *matrix = net_test_open (pair->model, name, error);

  if (!matrix || strcmp (name, "dense_1/kernel:0") != 0)
    return matrix;
  AfpMatrix *scaled = afp_matrix_new (afp_matrix_get_rows (matrix), afp_matrix_get_cols (matrix),
                                      read_scaled, pair, NULL);
  afp_matrix_unref (matrix);
  return scaled;
}

static Pair *
pair_new (float factor)
{
  g_autofree char *model = net_test_path (FALSE, "tests/data/keras/keras2-sequential.h5"),
                  *data = net_test_path (FALSE, "tests/data/keras/keras2-sequential.npz");
  Pair *pair = g_new0 (Pair, 1);

  pair->model = net_test_new (model);
  pair->data = net_test_new (data);
  pair->images = net_test_images (pair->data, "x");
  pair->factor = factor;
  pair->nets[0] = net_test_net (pair->model, NULL);
  pair->nets[1] = afp_net_find (pair->model->load, open_scaled, pair, NULL);
  for (gsize i = 0; i < pair->images->n; i++)
    pair->images->labels[i] = i % 5;
  return pair;
}

static void
pair_free (Pair *pair)
{
  afp_net_free (pair->nets[0]);
  afp_net_free (pair->nets[1]);
  afp_images_free (pair->images);
  net_test_free (pair->data);
  net_test_free (pair->model);
  g_free (pair);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Pair, pair_free)

/* The same by plain loops over the logits. */
static AfpNetScore
plain_score (const float *p, const float *q, const guint32 *labels, gsize n, gsize n_classes)
{
  AfpNetScore score = { .n = n };
  double same = 0;

  for (gsize i = 0; i < n; i++, p += n_classes, q += n_classes) {
    double sum_p = 0, sum_q = 0;
    gsize best_p = 0, best_q = 0;
    for (gsize c = 0; c < n_classes; c++) {
      sum_p += exp ((double) p[c]);
      sum_q += exp ((double) q[c]);
      best_p = p[c] > p[best_p] ? c : best_p;
      best_q = q[c] > q[best_q] ? c : best_q;
    }
    for (gsize c = 0; c < n_classes; c++)
      score.kl_mean += exp ((double) p[c]) / sum_p *
                       (log (exp ((double) p[c]) / sum_p) - log (exp ((double) q[c]) / sum_q));
    score.hits += best_q == labels[i];
    same += best_p == best_q;
  }
  score.kl_mean /= (double) n;
  score.same_top1 = same / (double) n;
  return score;
}

START_TEST (scores_are_those_of_the_logits)
{
  g_autoptr (Pair) pair = pair_new (-20);
  AfpNetScore scores[2];
  g_autofree float *p = afp_net_run (pair->nets[0], pair->images, &net_test_plain, NULL, NULL, NULL,
                                     NULL),
                   *q = afp_net_run (pair->nets[1], pair->images, &net_test_plain, NULL, NULL, NULL,
                                     NULL);

  ck_assert (afp_net_score (pair->nets, 2, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                            scores, NULL));
  for (guint i = 0; i < 2; i++) {
    const AfpNetScore expected = plain_score (p, i ? q : p, pair->images->labels, 5, 5);
    ck_assert_uint_eq (scores[i].hits, expected.hits);
    ck_assert_double_eq (scores[i].accuracy, (double) expected.hits / 5);
    ck_assert_double_eq_tol (scores[i].kl_mean, expected.kl_mean, 1e-5 * (1 + expected.kl_mean));
    ck_assert_double_eq (scores[i].same_top1, expected.same_top1);
  }
  ck_assert_double_gt (scores[1].kl_mean, 0.01);
  ck_assert_double_lt (scores[1].same_top1, 1);
}
END_TEST

START_TEST (the_same_weights_diverge_by_nothing)
{
  g_autoptr (Pair) pair = pair_new (1);
  AfpNetScore scores[2];

  ck_assert (afp_net_score (pair->nets, 2, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                            scores, NULL));
  ck_assert_double_eq (scores[1].kl_mean, 0);
  ck_assert_double_eq (scores[1].same_top1, 1);
  ck_assert_uint_eq (scores[0].hits, scores[1].hits);
}
END_TEST

typedef struct {
  guint last, all;
} Steps;

static void
count_steps (gpointer user_data, guint done, guint all)
{
  Steps *steps = user_data;

  ck_assert_uint_eq (done, steps->last + 1);
  steps->last = done;
  steps->all = all;
}

START_TEST (progress_counts_layers_of_all_networks)
{
  g_autoptr (Pair) pair = pair_new (1);
  AfpNetScore scores[2];
  Steps steps = { 0, 0 };

  ck_assert (afp_net_score (pair->nets, 2, NULL, pair->images, &net_test_plain, NULL, count_steps,
                            &steps, scores, NULL));
  ck_assert_uint_eq (steps.last, steps.all);
  ck_assert_uint_eq (steps.all, 2 * afp_net_get_graph (pair->nets[0])->nodes->len);
}
END_TEST

/* Of a network whose logits are known no weight is read. */
START_TEST (known_logits_change_nothing)
{
  g_autoptr (Pair) pair = pair_new (-20);
  AfpNetScore plain[2], keeping[2], known[2], alone;
  g_autoptr (GBytes) logits = NULL;
  Steps steps = { 0, 0 };

  ck_assert (afp_net_score (pair->nets, 2, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                            plain, NULL));
  ck_assert (afp_net_score (pair->nets, 2, &logits, pair->images, &net_test_plain, NULL, NULL, NULL,
                            keeping, NULL));
  ck_assert_uint_eq (g_bytes_get_size (logits), 5 * 5 * sizeof (float));
  ck_assert (afp_net_score (pair->nets, 2, &logits, pair->images, &net_test_plain, NULL,
                            count_steps, &steps, known, NULL));
  ck_assert_uint_eq (steps.last, steps.all);
  ck_assert_uint_eq (steps.all, afp_net_get_graph (pair->nets[0])->nodes->len);
  ck_assert_mem_eq (plain, keeping, sizeof plain);
  ck_assert_mem_eq (plain, known, sizeof plain);
  pair->model->failing = "dense/kernel:0";
  ck_assert (afp_net_score (pair->nets, 1, &logits, pair->images, &net_test_plain, NULL, NULL, NULL,
                            &alone, NULL));
  ck_assert_mem_eq (plain, &alone, sizeof alone);
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

START_TEST (a_label_beyond_the_classes_is_refused)
{
  g_autoptr (Pair) pair = pair_new (1);
  AfpNetScore score;
  GError *error = NULL;

  pair->images->labels[3] = 5;
  ck_assert (!afp_net_score (pair->nets, 1, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                             &score, &error));
  assert_error (error, AFP_ERROR_PLAN, "label 5 of image 3 is beyond the network's 5 classes");
}
END_TEST

START_TEST (networks_of_other_classes_are_not_compared)
{
  g_autoptr (Pair) pair = pair_new (1);
  g_autofree char *path = net_test_path (FALSE, "tests/data/keras/keras2-branches.h5");
  g_autoptr (NetTest) other = net_test_new (path);
  g_autoptr (AfpNet) net = net_test_net (other, NULL);
  AfpNet *nets[] = { pair->nets[0], net };
  AfpNetScore scores[2];
  GError *error = NULL;

  ck_assert (!afp_net_score (nets, 2, NULL, pair->images, &net_test_plain, NULL, NULL, NULL, scores,
                             &error));
  assert_error (error, AFP_ERROR_PLAN, "cannot be compared: 5 classes against 6");
}
END_TEST

START_TEST (images_of_another_size_are_refused)
{
  g_autoptr (Pair) pair = pair_new (1);
  AfpNetScore score;
  GError *error = NULL;

  pair->images->width++;
  ck_assert (!afp_net_score (pair->nets, 1, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                             &score, &error));
  assert_error (error, AFP_ERROR_PLAN, "the images are 11x10x3", "the network takes 11x9x3");
}
END_TEST

START_TEST (a_failing_reader_of_any_network_is_heard)
{
  g_autoptr (Pair) pair = pair_new (1);
  AfpNetScore scores[2];
  GError *error = NULL;

  pair->model->failing = "dense/kernel:0";
  ck_assert (!afp_net_score (pair->nets, 2, NULL, pair->images, &net_test_plain, NULL, NULL, NULL,
                             scores, &error));
  assert_error (error, AFP_ERROR_IO, "dense/kernel:0: gone");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, networks_score_as_published, 0, G_N_ELEMENTS (figures));
  tcase_add_test (tcase, scores_are_those_of_the_logits);
  tcase_add_test (tcase, the_same_weights_diverge_by_nothing);
  tcase_add_test (tcase, progress_counts_layers_of_all_networks);
  tcase_add_test (tcase, known_logits_change_nothing);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, a_label_beyond_the_classes_is_refused);
  tcase_add_test (tcase, networks_of_other_classes_are_not_compared);
  tcase_add_test (tcase, images_of_another_size_are_refused);
  tcase_add_test (tcase, a_failing_reader_of_any_network_is_heard);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("net-score", cases, G_N_ELEMENTS (cases));
}
