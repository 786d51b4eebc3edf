/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Every codec is tried on these, the last excepted: a tensor of several tiles, for what threads share. */
static const ConformInput inputs[] = {
  { "normal", "24x40", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "laplace", "24x40", NULL, NULL, AFP_DTYPE_F32, "laplace" },
  { "student-t", "24x40", NULL, NULL, AFP_DTYPE_F32, "student" },
  { "zeros", "16x24", NULL, NULL, AFP_DTYPE_F32, "zero" },
  { "signed zeros", "16x24", NULL, NULL, AFP_DTYPE_F32, "signed-zero" },
  { "denormal numbers", "16x24", NULL, NULL, AFP_DTYPE_F32, "denormal" },
  { "all equal", "16x24", NULL, NULL, AFP_DTYPE_F32, "equal" },
  { "one huge outlier", "24x40", NULL, NULL, AFP_DTYPE_F32, "outlier" },
  { "near the largest float32", "16x24", NULL, NULL, AFP_DTYPE_F32, "largest" },
  { "tiny", "16x24", NULL, NULL, AFP_DTYPE_F32, "tiny" },
  { "huge", "16x24", NULL, NULL, AFP_DTYPE_F32, "huge" },
  { "of all magnitudes", "16x24", NULL, NULL, AFP_DTYPE_F32, "spread" },
  { "one number", "1x1", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "one row", "1x257", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "one column", "257x1", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "vector", "101", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "small primes", "13x17", NULL, NULL, AFP_DTYPE_F32, "normal" },
  { "large primes", "127x131", "31x67", NULL, AFP_DTYPE_F32, "normal" },
  { "long rows", "4x65537", "2x4099", NULL, AFP_DTYPE_F32, "normal" },
  { "float16", "24x40", NULL, NULL, AFP_DTYPE_F16, "normal" },
  { "bfloat16", "24x40", NULL, NULL, AFP_DTYPE_BF16, "normal" },
  { "float64, inputs first", "40x24", NULL, "in:1", AFP_DTYPE_F64, "normal" },
  { "convolution", "3x3x8x10", NULL, "in:3", AFP_DTYPE_F32, "normal" },
  { "known inputs", "31x67", NULL, NULL, AFP_DTYPE_F32, "normal", TRUE },
  { "several tiles", "25x8209", "9x8209", NULL, AFP_DTYPE_F32, "normal" },
};

const ConformInput *
conform_inputs (gsize *n)
{
  *n = G_N_ELEMENTS (inputs) - 1;
  return inputs;
}

const ConformInput *
conform_input_find (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (inputs); i++)
    if (strcmp (inputs[i].name, name) == 0)
      return &inputs[i];
  g_return_val_if_reached (NULL);
}

static const char *
shape_of (const ConformInput *input, gboolean quick)
{
  return quick && input->quick_shape ? input->quick_shape : input->shape;
}

char *
conform_input_describe (const ConformInput *input, gboolean quick)
{
  return g_strdup_printf ("%s (%s %s)", input->name, shape_of (input, quick),
                          afp_dtype_name (input->dtype));
}

/* --- numbers --- */

static double
normal (GRand *rand)
{
  double sum = -6;

  for (guint i = 0; i < 12; i++)
    sum += g_rand_double (rand);
  return sum;
}

static double
laplace (GRand *rand)
{
  const double u = g_rand_double_range (rand, -0.5, 0.5);

  return copysign (log1p (-2 * fabs (u)), u) * -1;
}

static double
student (GRand *rand)
{
  const double a = normal (rand), b = normal (rand), c = normal (rand);

  return normal (rand) / sqrt ((a * a + b * b + c * c) / 3 + 1e-9);
}

/* One number of a kind; the first and the last of a tensor may be special. */
static double
number (const char *values, GRand *rand, gboolean first)
{
  if (strcmp (values, "laplace") == 0)
    return laplace (rand);
  if (strcmp (values, "student") == 0)
    return student (rand);
  if (strcmp (values, "zero") == 0)
    return 0;
  if (strcmp (values, "signed-zero") == 0)
    return g_rand_boolean (rand) ? -0.0 : 0.0;
  if (strcmp (values, "denormal") == 0)
    return normal (rand) * 1e-40;
  if (strcmp (values, "equal") == 0)
    return 0.37;
  if (strcmp (values, "outlier") == 0)
    return first ? 1e30 : normal (rand);
  if (strcmp (values, "largest") == 0)
    return first ? FLT_MAX : g_rand_double_range (rand, -1, 1) * FLT_MAX;
  if (strcmp (values, "tiny") == 0)
    return normal (rand) * 1e-30;
  if (strcmp (values, "huge") == 0)
    return normal (rand) * 1e30;
  if (strcmp (values, "spread") == 0)
    return normal (rand) * exp2 (g_rand_double_range (rand, -60, 60));
  return normal (rand);
}

float *
conform_numbers (const char *values, gsize n, guint32 seed)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  float *out = g_new (float, MAX (n, 1));

  for (gsize i = 0; i < n; i++)
    out[i] = (float) number (values, rand, i == 0);
  return out;
}

AfpTensor *
conform_tensor_new (const char *name, AfpDType dtype, const char *shape, const char *view,
                    const float *values)
{
  g_auto (GStrv) words = g_strsplit (shape, "x", -1);
  const guint rank = g_strv_length (words);
  guint64 axes[AFP_MAX_RANK];
  AfpView parsed;

  for (guint i = 0; i < rank; i++)
    axes[i] = g_ascii_strtoull (words[i], NULL, 10);
  const gboolean has_view = view && afp_view_parse (view, rank, &parsed);
  g_autoptr (AfpSpec) spec =
      afp_spec_new (name, dtype, rank, axes, has_view ? &parsed : NULL, NULL);
  const gsize size = afp_spec_get_n_bytes (spec);
  guint8 *raw = g_malloc0 (MAX (size, 1));
  if (afp_dtype_is_writable (dtype))
    afp_dtype_from_f32 (dtype, values, raw, 1, afp_spec_get_n_elements (spec));
  else
    for (gsize i = 0; i < size; i++)
      raw[i] = (guint8) (i * 37);
  g_autoptr (GBytes) bytes = g_bytes_new_take (raw, size);
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}

/* With second moments of what goes into the layer: neighbours have to do with each other, one never fires. */
static AfpTensor *
add_moments (AfpTensor *tensor)
{
  const guint64 size = afp_spec_get_cols (afp_tensor_get_spec (tensor));
  const guint64 n = afp_moments_n_stored (size, FALSE);
  float *stored = g_new (float, MAX (n, 1)), *out = stored;

  for (guint64 i = 0; i < size; i++)
    for (guint64 j = 0; j <= i; j++)
      *out++ =
          i == 5 || j == 5 ? 0 : (float) (pow (0.8, (double) (i - j)) * (1 + i % 7) * (1 + j % 7));
  g_autoptr (GBytes) bytes = g_bytes_new_take (stored, n * sizeof *stored);
  g_autoptr (AfpMoments) moments = afp_moments_new (size, FALSE, 1000, bytes);
  AfpTensor *with = afp_tensor_new_with_moments (tensor, moments);
  afp_tensor_unref (tensor);
  return with;
}

AfpTensor *
conform_input_make (const ConformInput *input, gboolean quick)
{
  const char *shape = shape_of (input, quick);
  g_auto (GStrv) words = g_strsplit (shape, "x", -1);
  gsize n = 1;

  for (guint i = 0; words[i]; i++)
    n *= g_ascii_strtoull (words[i], NULL, 10);
  g_autofree float *values = conform_numbers (input->values, n, 1);
  AfpTensor *tensor = conform_tensor_new ("layer.weight", input->dtype, shape, input->view, values);
  return input->moments ? add_moments (tensor) : tensor;
}
