/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * Images with labels, from files: IDX, plain or packed by gzip; CIFAR-10's binary form, which has the labels in it; and arrays of
 * whatever `load` reads (.npz, .npy, HDF5, safetensors).
 */

/**
 * AfpImages:
 * @n: how many; the caller may make it less
 * @height, @width, @channels: of each
 * @dtype: u8, or a type of floats, as the file has it
 * @pixels: n x height x width x channels, in @dtype
 * @labels: the class of each
 * @about: what was taken, for people: "array 'X' (1000x32x32x3, u8) of 'a.npz', labels: ..."
 */
typedef struct {
  gsize n;
  guint height, width, channels;
  AfpDType dtype;
  GBytes *pixels;
  guint32 *labels;
  char *about;
} AfpImages;

#define AFP_IMAGES_MAX_LABEL 1000000

/* @labels: (nullable): a file of them; without, those in the file of images. AFP_ERROR_FORMAT, AFP_ERROR_IO */
AfpImages *afp_images_load (const char *images, const char *labels, GError **error);
void afp_images_free (AfpImages *images);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpImages, afp_images_free)

/* Pixels times @scale of @n images from @first on. */
void afp_images_read (const AfpImages *images, gsize first, gsize n, float scale, float *out);
