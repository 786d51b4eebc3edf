/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-figures.h"

G_BEGIN_DECLS

/* Pictures as SVG. Colours are classes, c0 to c7 and others, which the page or ablate_svg_style() fills in. */

/**
 * AblatePlot:
 * @bound: the line that no code of normal numbers crosses: 6.02 dB a bit (bits per weight against SQNR)
 * @linked: points are links to #run-N and can be reached with the keyboard
 */
typedef struct {
  const AblateRuns *runs;
  const AblateAxis *x, *y;
  gboolean bound;
  gboolean linked;
} AblatePlot;

/* A picture with axes, points, front and legend. @style: (nullable): CSS to stand in it. */
void ablate_svg_plot (GString *out, const AblatePlot *plot, const char *style);

/**
 * AblateBar:
 * @mean: length of the bar
 * @low, @high: of all that it is the mean of
 */
typedef struct {
  const char *name;
  double mean, low, high;
  guint n;
} AblateBar;

/* Bars that lie, from zero to both sides. */
void ablate_svg_bars (GString *out, const char *title, const AblateBar *bars, guint n);

/* Colours of a picture that stands alone, on white. */
const char *ablate_svg_style (void);

G_END_DECLS
