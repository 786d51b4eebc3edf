/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

/*
 * How a matrix is cut into tiles for the pool. A tile is whole rows (a multiple of 8 of them, but for the last), or, of a
 * matrix of one row, a run of columns that is a multiple of 8 quanta: so that the symbols of two tiles of a bit-packed plane never share a
 * byte. (The feedback of a transposed layout cuts by columns: afp_feedback_init_tiles().) The cut depends on the shape alone, never on the number of threads. Internal.
 */
typedef struct {
  guint64 rows, cols; /* cols: padded to the quantum */
  guint64 tile_rows, tile_cols;
  gsize n_tiles;
} AfpTiles;

typedef struct {
  guint64 row, n_rows, col, n_cols;
} AfpTile;

#define AFP_TILE_ELEMENTS 65536

/* Tiles of about @elements. */
static inline void
afp_tiles_init_sized (AfpTiles *tiles, guint64 rows, guint64 cols, guint quantum, guint64 elements)
{
  tiles->rows = rows;
  tiles->cols = (cols + quantum - 1) / quantum * quantum;
  tiles->tile_rows = rows;
  tiles->tile_cols = tiles->cols;
  if (rows == 0 || cols == 0) {
    tiles->n_tiles = 0;
    return;
  }
  if (rows == 1) {
    guint64 step = (guint64) quantum * 8;
    tiles->tile_cols = MAX (elements / step, 1) * step;
    tiles->n_tiles = (gsize) ((tiles->cols + tiles->tile_cols - 1) / tiles->tile_cols);
  } else {
    tiles->tile_rows = MAX (elements / tiles->cols / 8, 1) * 8;
    tiles->n_tiles = (gsize) ((rows + tiles->tile_rows - 1) / tiles->tile_rows);
  }
}

static inline void
afp_tiles_init (AfpTiles *tiles, guint64 rows, guint64 cols, guint quantum)
{
  afp_tiles_init_sized (tiles, rows, cols, quantum, AFP_TILE_ELEMENTS);
}

static inline AfpTile
afp_tiles_get (const AfpTiles *tiles, gsize index)
{
  AfpTile tile = { 0, tiles->rows, 0, tiles->cols };

  if (tiles->tile_cols < tiles->cols) {
    tile.col = index * tiles->tile_cols;
    tile.n_cols = MIN (tiles->tile_cols, tiles->cols - tile.col);
  } else {
    tile.row = index * tiles->tile_rows;
    tile.n_rows = MIN (tiles->tile_rows, tiles->rows - tile.row);
  }
  return tile;
}
