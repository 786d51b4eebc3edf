/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keras files for tests, made with HDF5 itself. */
#pragma once

#include "io/h5-dataset.h"

#include "io-test.h"

/* The float at index i of an array is BASE + i. */
#define CONV_BASE 100
#define DENSE_BASE 500
#define BIAS_BASE 900

static const char *const keras_config =
    "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":["
    "{\"class_name\":\"DepthwiseConv2D\",\"config\":{\"name\":\"conv\"}},"
    "{\"class_name\":\"Dense\",\"config\":{\"name\":\"dense\"}}]}}";

static inline void
h5_put_fixed (hid_t object, const char *name, guint n, const char *const *strings)
{
  gsize size = 1;
  for (guint i = 0; i < n; i++)
    size = MAX (size, strlen (strings[i]));
  g_autofree char *data = g_malloc0 (MAX (n, 1) * size);
  for (guint i = 0; i < n; i++)
    memcpy (data + i * size, strings[i], strlen (strings[i]));
  const hsize_t dims = n;
  g_auto (AfpHid) type = H5Tcopy (H5T_C_S1);
  H5Tset_size (type, size);
  H5Tset_strpad (type, H5T_STR_NULLPAD);
  g_auto (AfpHid) space = H5Screate_simple (1, &dims, NULL);
  g_auto (AfpHid) attribute = H5Acreate2 (object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert (H5Awrite (attribute, type, data) >= 0);
}

static inline void
h5_put_variable (hid_t object, const char *name, guint n, const char *const *strings)
{
  const hsize_t dims = n;
  g_auto (AfpHid) type = H5Tcopy (H5T_C_S1);
  H5Tset_size (type, H5T_VARIABLE);
  g_auto (AfpHid) space = n == 1 ? H5Screate (H5S_SCALAR) : H5Screate_simple (1, &dims, NULL);
  g_auto (AfpHid) attribute = H5Acreate2 (object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert (H5Awrite (attribute, type, strings) >= 0);
}

/* What h5py stores for an empty list. */
static inline void
h5_put_no_floats (hid_t object, const char *name)
{
  const hsize_t dims = 0;
  g_auto (AfpHid) space = H5Screate_simple (1, &dims, NULL);
  g_auto (AfpHid) attribute =
      H5Acreate2 (object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert (attribute >= 0);
}

static inline void
h5_put_groups (hid_t file, const char *path)
{
  g_auto (AfpHid) links = H5Pcreate (H5P_LINK_CREATE);
  H5Pset_create_intermediate_group (links, 1);
  g_auto (AfpHid) group = H5Gcreate2 (file, path, links, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert (group >= 0);
}

/* Floats base, base + 1, ... in the type given. @chunked: with shuffle and deflate. */
static inline void
h5_put_floats (hid_t file, const char *path, hid_t type, guint rank, const hsize_t *dims,
               float base, gboolean chunked)
{
  gsize n = 1;
  for (guint i = 0; i < rank; i++)
    n *= dims[i];
  g_autofree float *values = g_new (float, MAX (n, 1));
  for (gsize i = 0; i < n; i++)
    values[i] = base + (float) i;
  g_auto (AfpHid) links = H5Pcreate (H5P_LINK_CREATE);
  H5Pset_create_intermediate_group (links, 1);
  g_auto (AfpHid) plist = H5Pcreate (H5P_DATASET_CREATE);
  if (chunked) {
    H5Pset_chunk (plist, (int) rank, dims);
    H5Pset_shuffle (plist);
    H5Pset_deflate (plist, 6);
  }
  g_auto (AfpHid) space = rank ? H5Screate_simple ((int) rank, dims, NULL) : H5Screate (H5S_SCALAR);
  g_auto (AfpHid) dataset = H5Dcreate2 (file, path, type, space, links, plist, H5P_DEFAULT);
  ck_assert (dataset >= 0);
  ck_assert (H5Dwrite (dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
}

static inline hid_t
h5_create (const char *path)
{
  const hid_t file = H5Fcreate (path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert (file >= 0);
  return file;
}

/* The layers of the model below @base ("" or "/model_weights"): a depthwise convolution 3x3x4x1, a flatten, a dense layer 6x5 with its
 * bias. The dense kernel is compressed, the bias big-endian. */
static inline void
h5_put_layers (hid_t file, const char *base)
{
  static const char *const layers[] = { "conv", "flatten", "dense" };
  static const char *const conv_weights[] = { "conv/depthwise_kernel:0" };
  static const char *const dense_weights[] = { "dense/kernel:0", "dense/bias:0" };
  static const hsize_t conv_dims[] = { 3, 3, 4, 1 }, dense_dims[] = { 6, 5 }, bias_dims[] = { 5 };
  g_autofree char *conv = g_strconcat (base, "/conv", NULL);
  g_autofree char *flatten = g_strconcat (base, "/flatten", NULL);
  g_autofree char *dense = g_strconcat (base, "/dense", NULL);
  g_autofree char *conv_path = g_strconcat (conv, "/conv/depthwise_kernel:0", NULL);
  g_autofree char *kernel_path = g_strconcat (dense, "/dense/kernel:0", NULL);
  g_autofree char *bias_path = g_strconcat (dense, "/dense/bias:0", NULL);
  h5_put_groups (file, conv);
  h5_put_groups (file, flatten);
  h5_put_groups (file, dense);
  h5_put_floats (file, conv_path, H5T_IEEE_F32LE, 4, conv_dims, CONV_BASE, FALSE);
  h5_put_floats (file, kernel_path, H5T_IEEE_F32LE, 2, dense_dims, DENSE_BASE, TRUE);
  h5_put_floats (file, bias_path, H5T_IEEE_F32BE, 1, bias_dims, BIAS_BASE, FALSE);
  g_auto (AfpHid) top = H5Gopen2 (file, *base ? base : "/", H5P_DEFAULT);
  g_auto (AfpHid) conv_group = H5Gopen2 (file, conv, H5P_DEFAULT);
  g_auto (AfpHid) flatten_group = H5Gopen2 (file, flatten, H5P_DEFAULT);
  g_auto (AfpHid) dense_group = H5Gopen2 (file, dense, H5P_DEFAULT);
  h5_put_fixed (top, "layer_names", 3, layers);
  h5_put_fixed (conv_group, "weight_names", 1, conv_weights);
  h5_put_no_floats (flatten_group, "weight_names");
  h5_put_variable (dense_group, "weight_names", 2, dense_weights);
}

/* A whole model with its configuration and the state of an optimizer. */
static inline char *
put_keras (const char *name)
{
  static const hsize_t dims[] = { 6, 5 };
  char *path = in_folder (name);
  g_auto (AfpHid) file = h5_create (path);
  h5_put_groups (file, "/model_weights");
  h5_put_layers (file, "/model_weights");
  h5_put_variable (file, "model_config", 1, &keras_config);
  h5_put_floats (file, "/optimizer_weights/Adam/dense/kernel/m:0", H5T_IEEE_F32LE, 2, dims, 0,
                 FALSE);
  h5_put_floats (file, "/optimizer_weights/Adam/dense/kernel/v:0", H5T_IEEE_F32LE, 2, dims, 0,
                 FALSE);
  return path;
}

static inline void
assert_floats (AfpTensor *tensor, gsize n, float base)
{
  g_autofree float *values = g_new (float, MAX (n, 1));
  for (gsize i = 0; i < n; i++)
    values[i] = base + (float) i;
  assert_raw_bytes (tensor, values, n * sizeof (float));
}
