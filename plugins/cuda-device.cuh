/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* What the name-cuda.cu of the codecs share: a device, and memory on it. On failure 0, and @why says why in words that stay. */

#define MAX_GRID 65535

static int
check (cudaError_t status, const char **why)
{
  if (status != cudaSuccess)
    *why = cudaGetErrorString (status);
  return status == cudaSuccess;
}

/* Room for @bytes on the device, with what is at @from unless that is NULL. */
template <typename T>
static int
upload (T **to, const T *from, size_t n, const char **why)
{
  *to = NULL;
  if (!check (cudaMalloc ((void **) to, (n ? n : 1) * sizeof (T)), why))
    return 0;
  return !from || check (cudaMemcpy (*to, from, n * sizeof (T), cudaMemcpyHostToDevice), why);
}

template <typename T>
static int
download (T *to, const T *from, size_t n, const char **why)
{
  return check (cudaMemcpy (to, from, n * sizeof (T), cudaMemcpyDeviceToHost), why);
}

static int
find_device (int device, const char **why)
{
  int n = 0;
  cudaDeviceProp properties;
  if (cudaGetDeviceCount (&n) != cudaSuccess || n == 0) {
    *why =
        "there is no CUDA device, or no driver for it: see what nvidia-smi says, or take the CPU";
    return 0;
  }
  if (device < 0 || device >= n) {
    *why = "there is no CUDA device of that number: nvidia-smi -L lists those there are, from 0";
    return 0;
  }
  if (!check (cudaGetDeviceProperties (&properties, device), why))
    return 0;
  if (properties.major * 10 + properties.minor < 75) {
    *why = "the CUDA device is too old: compute capability 7.5 or later is needed";
    return 0;
  }
  return check (cudaSetDevice (device), why);
}
