/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-svg.h"

#include <math.h>
#include <string.h>

#define WIDTH 820
#define HEIGHT 440
#define LEFT 70
#define RIGHT 560 /* the legend stands behind it */
#define TOP 16
#define BOTTOM 388
#define N_COLOURS 8
#define N_MARKS 4
#define MAX_TICKS 8
#define LEGEND_ROWS 20
#define LEGEND_CHARS 38
#define MANY_POINTS 300 /* of more than these only the front can be reached with the keyboard */
#define DB_PER_BIT 6.020599913279624

const char *
ablate_svg_style (void)
{
  return "svg{font:12px sans-serif;background:#fff}text{fill:#333}.grid{stroke:#ddd}.axis{stroke:#777}"
         ".front{stroke:#333;fill:none;stroke-width:1.5}.bound{stroke:#777;stroke-dasharray:5 4}.original{stroke:#777;stroke-dasharray:1 3;stroke-width:2}.dim{"
         "opacity:.45}.c0{fill:#2a78d6}.c1{fill:#eb6834}.c2{fill:#1baf7a}.c3{fill:#eda100}"
         ".c4{fill:#e87ba4}.c5{fill:#008300}.c6{fill:#4a3aa7}.c7{fill:#e34948}";
}

/* --- scales ------------------------------------------------------------------------------------------------------- */

typedef struct {
  double low, high; /* of the numbers; of their logarithms if logarithmic */
  double from, to;  /* on the paper */
  gboolean logarithmic;
} Scale;

static double
scale_value (const Scale *scale, double value)
{
  return scale->logarithmic ? log10 (value) : value;
}

static double
scale_place (const Scale *scale, double value)
{
  return scale->from + (scale_value (scale, value) - scale->low) / (scale->high - scale->low) *
                           (scale->to - scale->from);
}

/* Numbers that are not positive have no logarithm: then the axis has none. */
static void
scale_init (Scale *scale, const AblatePlot *plot, const AblateAxis *axis, double from, double to)
{
  double low = INFINITY, high = -INFINITY;

  for (guint i = 0; i < plot->runs->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (plot->runs, i);
    const double value = ablate_run_number (run, axis->key);
    if (ablate_run_is_point (run, plot->x, plot->y) ||
        (axis == plot->y && !*run->shape && isfinite (value))) {
      low = MIN (low, value);
      high = MAX (high, value);
    }
  }
  *scale = (Scale){ .from = from, .to = to, .logarithmic = axis->logarithmic && low > 0 };
  scale->low = scale_value (scale, low);
  scale->high = scale_value (scale, high);
  const double room = scale->high - scale->low;
  const double pad = room > 0 ? 0.06 * room : MAX (0.1 * fabs (scale->low), 0.1);
  scale->low -= pad;
  scale->high += pad;
}

/* The next of 1, 2, 5, 10, ... that @step is not above. */
static double
nice_step (double step)
{
  const double power = pow (10, floor (log10 (step))), part = step / power;

  return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

/* Ticks of a logarithmic axis: powers of ten, or with 2 and 5 where there are few. */
static guint
logarithmic_ticks (const Scale *scale, double *ticks)
{
  static const double parts[] = { 1, 2, 5 };
  const double decades = scale->high - scale->low;
  const double every = ceil (decades / MAX_TICKS);
  guint n = 0;

  for (double e = floor (scale->low); e <= scale->high && n < MAX_TICKS; e += MAX (every, 1))
    for (guint i = 0; i < (decades < 2.5 ? 3 : 1) && n < MAX_TICKS; i++) {
      const double tick = parts[i] * pow (10, e);
      if (log10 (tick) >= scale->low && log10 (tick) <= scale->high)
        ticks[n++] = tick;
    }
  return n;
}

static guint
find_ticks (const Scale *scale, double *ticks)
{
  if (scale->logarithmic) {
    const guint n = logarithmic_ticks (scale, ticks);
    if (n >= 2)
      return n;
  }
  const double low = scale->logarithmic ? pow (10, scale->low) : scale->low;
  const double high = scale->logarithmic ? pow (10, scale->high) : scale->high;
  const double step = nice_step ((high - low) / (MAX_TICKS - 2));
  guint n = 0;

  for (double k = ceil (low / step); k * step <= high && n < MAX_TICKS; k++)
    ticks[n++] = k * step;
  return n;
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

static void
put_attribute (GString *out, const char *name, double value)
{
  g_string_append_printf (out, " %s=\"", name);
  ablate_put_length (out, value);
  g_string_append_c (out, '"');
}

static void
put_line (GString *out, const char *class, double x1, double y1, double x2, double y2)
{
  g_string_append_printf (out, "<line class=\"%s\"", class);
  put_attribute (out, "x1", x1);
  put_attribute (out, "y1", y1);
  put_attribute (out, "x2", x2);
  put_attribute (out, "y2", y2);
  g_string_append (out, "/>");
}

/* @anchor: start, middle or end. */
static void
put_label (GString *out, double x, double y, const char *anchor, const char *text)
{
  g_string_append (out, "<text");
  put_attribute (out, "x", x);
  put_attribute (out, "y", y);
  g_string_append_printf (out, " text-anchor=\"%s\">", anchor);
  ablate_put_text (out, text);
  g_string_append (out, "</text>");
}

/* A series has a colour and a mark: disc, square, triangle, diamond. */
static void
put_mark (GString *out, guint series, gboolean dim, double x, double y)
{
  static const char *const marks[N_MARKS] = { "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
                                              "m-4 -4h8v8h-8z", "m0 -5l5 9h-10z",
                                              "m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z" };

  g_string_append_printf (out, "<path class=\"c%u%s\" d=\"M", series % N_COLOURS,
                          dim ? " dim" : "");
  ablate_put_length (out, x);
  g_string_append_c (out, ' ');
  ablate_put_length (out, y);
  g_string_append_printf (out, "%s\"/>", marks[series / N_COLOURS % N_MARKS]);
}

static void
put_axis (GString *out, const Scale *scale, const AblateAxis *axis, gboolean across)
{
  double ticks[MAX_TICKS];
  const guint n = find_ticks (scale, ticks);

  for (guint i = 0; i < n; i++) {
    const double at = scale_place (scale, ticks[i]);
    g_autoptr (GString) text = g_string_new (NULL);
    ablate_put_number (text, fabs (ticks[i]) < 1e-12 ? 0 : ticks[i], 6);
    if (across) {
      put_line (out, "grid", at, TOP, at, BOTTOM);
      put_label (out, at, BOTTOM + 18, "middle", text->str);
    } else {
      put_line (out, "grid", LEFT, at, RIGHT, at);
      put_label (out, LEFT - 8, at + 4, "end", text->str);
    }
  }
  if (across) {
    put_line (out, "axis", LEFT, BOTTOM, RIGHT, BOTTOM);
    put_label (out, (LEFT + RIGHT) / 2.0, BOTTOM + 40, "middle", axis->label);
  } else {
    put_line (out, "axis", LEFT, TOP, LEFT, BOTTOM);
    g_string_append_printf (out, "<g transform=\"translate(14 %d) rotate(-90)\">",
                            (TOP + BOTTOM) / 2);
    put_label (out, 0, 0, "middle", axis->label);
    g_string_append (out, "</g>");
  }
}

/* The part of the line y = 6.02 x that lies in the picture. */
static void
put_bound (GString *out, const Scale *x, const Scale *y)
{
  const double from = MAX (x->low, y->low / DB_PER_BIT), to = MIN (x->high, y->high / DB_PER_BIT);

  if (!(from < to) || x->logarithmic || y->logarithmic)
    return;
  put_line (out, "bound", scale_place (x, from), scale_place (y, from * DB_PER_BIT),
            scale_place (x, to), scale_place (y, to * DB_PER_BIT));
}

/* --- a plot ------------------------------------------------------------------------------------------------------- */

typedef struct {
  const AblatePlot *plot;
  Scale x, y;
  GArray *front; /* of guint */
  gboolean *on_front;
  gboolean *series; /* which have a point */
  double original;  /* y of the model as it is; NaN: none */
  guint n_points;
} Drawing;

static void
put_title (GString *out, const AblatePlot *plot, const AblateRun *run)
{
  g_string_append_printf (out, "<title>run %" G_GINT64_FORMAT ": ", run->number);
  ablate_put_text (out, run->chain);
  for (guint i = 0; i < 2; i++) {
    const AblateAxis *axis = i ? plot->y : plot->x;
    g_string_append (out, i ? ", " : "\n");
    ablate_put_number (out, ablate_run_number (run, axis->key), axis->digits);
    g_string_append_printf (out, " %s", axis->label);
  }
  g_string_append (out, "</title>");
}

static void
put_point (GString *out, const Drawing *drawing, guint index)
{
  const AblatePlot *plot = drawing->plot;
  const AblateRun *run = ablate_runs_get (plot->runs, index);
  const gboolean linked =
      plot->linked && (drawing->on_front[index] || drawing->n_points <= MANY_POINTS);

  if (!ablate_run_is_point (run, plot->x, plot->y))
    return;
  if (linked)
    g_string_append_printf (out, "<a href=\"#run-%" G_GINT64_FORMAT "\">", run->number);
  else
    g_string_append (out, "<g>");
  put_title (out, plot, run);
  put_mark (out, run->series, !drawing->on_front[index],
            scale_place (&drawing->x, ablate_run_number (run, plot->x->key)),
            scale_place (&drawing->y, ablate_run_number (run, plot->y->key)));
  g_string_append (out, linked ? "</a>\n" : "</g>\n");
}

/* Steps: between two runs of the front one has what the first reaches. */
static void
put_front (GString *out, const Drawing *drawing)
{
  const AblatePlot *plot = drawing->plot;
  double last = 0;

  if (drawing->front->len < 2)
    return;
  g_string_append (out, "<path class=\"front\" d=\"");
  for (guint i = 0; i < drawing->front->len; i++) {
    const AblateRun *run = ablate_runs_get (plot->runs, g_array_index (drawing->front, guint, i));
    const double x = scale_place (&drawing->x, ablate_run_number (run, plot->x->key));
    const double y = scale_place (&drawing->y, ablate_run_number (run, plot->y->key));
    g_string_append (out, i ? "L" : "M");
    ablate_put_length (out, x);
    g_string_append_c (out, ' ');
    ablate_put_length (out, i ? last : y);
    if (i) {
      g_string_append (out, "V");
      ablate_put_length (out, y);
    }
    last = y;
  }
  g_string_append (out, "\"/>\n");
}

/* A name that fits beside the picture; the whole one where the pointer rests. */
static void
put_legend_name (GString *out, double y, const char *name)
{
  g_autofree char *cut =
      g_utf8_strlen (name, -1) > LEGEND_CHARS ? g_utf8_substring (name, 0, LEGEND_CHARS - 1) : NULL;
  g_autofree char *shown = cut ? g_strconcat (cut, "…", NULL) : g_strdup (name);

  g_string_append (out, "<g><title>");
  ablate_put_text (out, name);
  g_string_append (out, "</title>");
  put_label (out, RIGHT + 34, y + 4, "start", shown);
  g_string_append (out, "</g>");
}

static void
put_legend (GString *out, const Drawing *drawing)
{
  const AblateRuns *runs = drawing->plot->runs;
  double y = TOP + 8;
  guint row = 0, left = 0;

  for (guint s = 0; s < runs->shapes->len; s++) {
    const char *shape = runs->shapes->pdata[s];
    if (!drawing->series[s])
      continue;
    if (row++ >= LEGEND_ROWS) {
      left++;
      continue;
    }
    put_mark (out, s, FALSE, RIGHT + 20, y);
    put_legend_name (out, y, shape);
    y += 16;
  }
  if (left) {
    g_autofree char *text = g_strdup_printf ("and %u more", left);
    put_label (out, RIGHT + 34, y + 4, "start", text);
    y += 16;
  }
  if (drawing->front->len > 1) {
    g_string_append_printf (out, "<path class=\"front\" d=\"M%d ", RIGHT + 12);
    ablate_put_length (out, y);
    g_string_append (out, "h16\"/>");
    put_label (out, RIGHT + 34, y + 4, "start", "Pareto front");
    y += 16;
  }
  if (isfinite (drawing->original)) {
    put_line (out, "original", RIGHT + 12, y, RIGHT + 28, y);
    put_label (out, RIGHT + 34, y + 4, "start", "the model as it is");
    y += 16;
  }
  if (drawing->plot->bound) {
    put_line (out, "bound", RIGHT + 12, y, RIGHT + 28, y);
    put_label (out, RIGHT + 34, y + 4, "start", "bound of normal numbers");
  }
  g_string_append_c (out, '\n');
}

static void
drawing_init (Drawing *drawing, const AblatePlot *plot)
{
  const guint n = plot->runs->runs->len;

  *drawing = (Drawing){ .plot = plot,
                        .original = ablate_runs_get_original (plot->runs, plot->y->key),
                        .n_points = ablate_runs_count_points (plot->runs, plot->x, plot->y) };
  scale_init (&drawing->x, plot, plot->x, LEFT, RIGHT);
  scale_init (&drawing->y, plot, plot->y, BOTTOM, TOP);
  drawing->front = ablate_runs_find_front (plot->runs, plot->x, plot->y);
  drawing->on_front = g_new0 (gboolean, n + 1);
  drawing->series = g_new0 (gboolean, plot->runs->shapes->len + 1);
  for (guint i = 0; i < drawing->front->len; i++)
    drawing->on_front[g_array_index (drawing->front, guint, i)] = TRUE;
  for (guint i = 0; i < n; i++) {
    const AblateRun *run = ablate_runs_get (plot->runs, i);
    drawing->series[run->series] |= ablate_run_is_point (run, plot->x, plot->y);
  }
}

static void
drawing_clear (Drawing *drawing)
{
  g_array_unref (drawing->front);
  g_free (drawing->on_front);
  g_free (drawing->series);
}

void
ablate_svg_plot (GString *out, const AblatePlot *plot, const char *style)
{
  Drawing drawing;

  drawing_init (&drawing, plot);
  g_string_append_printf (out,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                          "role=\"group\" aria-label=\"",
                          WIDTH, HEIGHT);
  ablate_put_text (out, plot->y->label);
  g_string_append (out, " by ");
  ablate_put_text (out, plot->x->label);
  g_string_append (out, "\">\n");
  if (style)
    g_string_append_printf (out, "<style>%s</style>\n", style);
  put_axis (out, &drawing.x, plot->x, TRUE);
  put_axis (out, &drawing.y, plot->y, FALSE);
  g_string_append_c (out, '\n');
  if (plot->bound)
    put_bound (out, &drawing.x, &drawing.y);
  if (isfinite (drawing.original))
    put_line (out, "original", LEFT, scale_place (&drawing.y, drawing.original), RIGHT,
              scale_place (&drawing.y, drawing.original));
  put_front (out, &drawing);
  for (guint i = 0; i < plot->runs->runs->len; i++)
    put_point (out, &drawing, i);
  put_legend (out, &drawing);
  g_string_append (out, "</svg>\n");
  drawing_clear (&drawing);
}

/* --- bars --------------------------------------------------------------------------------------------------------- */

#define BAR_LEFT 150
#define BAR_RIGHT 640
#define BAR_STEP 28

static void
put_bar (GString *out, const Scale *scale, const AblateBar *bar, guint row)
{
  const double y = row * BAR_STEP + 8.0, zero = scale_place (scale, 0);
  const double end = scale_place (scale, bar->mean);
  g_autoptr (GString) text = g_string_new (NULL);

  put_label (out, BAR_LEFT - 10, y + 13, "end", bar->name);
  g_string_append_printf (out, "<rect class=\"c%d\" height=\"16\"", bar->mean < 0 ? 1 : 0);
  put_attribute (out, "x", MIN (zero, end));
  put_attribute (out, "y", y);
  put_attribute (out, "width", MAX (fabs (end - zero), 1));
  g_string_append (out, "/>");
  if (bar->n > 1)
    put_line (out, "axis", scale_place (scale, bar->low), y + 8, scale_place (scale, bar->high),
              y + 8);
  ablate_put_number (text, bar->mean, 4);
  g_string_append_printf (text, " (%u)", bar->n);
  put_label (out, BAR_RIGHT + 12, y + 13, "start", text->str);
  g_string_append_c (out, '\n');
}

void
ablate_svg_bars (GString *out, const char *title, const AblateBar *bars, guint n)
{
  Scale scale = { 0, 0, BAR_LEFT, BAR_RIGHT, FALSE };

  for (guint i = 0; i < n; i++) {
    scale.low = MIN (scale.low, MIN (bars[i].low, bars[i].mean));
    scale.high = MAX (scale.high, MAX (bars[i].high, bars[i].mean));
  }
  if (!(scale.high > scale.low))
    scale.high = scale.low + 1;
  g_string_append_printf (out,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" "
                          "role=\"img\" aria-label=\"",
                          WIDTH, n * BAR_STEP + 8);
  ablate_put_text (out, title);
  g_string_append (out, "\">\n");
  for (guint i = 0; i < n; i++)
    put_bar (out, &scale, &bars[i], i);
  put_line (out, "axis", scale_place (&scale, 0), 0, scale_place (&scale, 0), n * BAR_STEP + 8.0);
  g_string_append (out, "</svg>\n");
}
