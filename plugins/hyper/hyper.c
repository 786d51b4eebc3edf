/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper.h"
#include "hyper-bezier-kernel.h"
#include "hyper-kernel.h"

/*
 * hyper: vectors become positions on a trajectory that runs through a square, at one of several scales
 * (Hyper-Compression). Format and training: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! hyper U=225 M=1 ! entropy ! eval ! write location=m.h5"
 */
#define MAX_FRAME_SIZE (1u << 20)

G_DEFINE_FINAL_TYPE (AfpHyper, afp_hyper, AFP_TYPE_CODEC)

/* In the order of HyperTrajectoryValue and HyperFrameScope. */
static const char *const trajectory_values[] = { "grid",    "winding", "lattice",
                                                 "trellis", "bezier",  NULL };
static const char *const lattice_values[] = { "auto", "z", "a2", "d4", "e8", NULL };
static const char *const rule_values[] = { "nearest", "l2", "linf", NULL };
static const char *const frame_values[] = { "tensor", "row", "group", NULL };

static const AfpProperty hyper_properties[] = {
  AFP_PROP_UINT ("points", "U", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, points, 1,
                 HYPER_MAX_POINTS, "auto", "points",
                 "Points on the trajectory; auto: as many as bits allows, else 225, or 16 with "
                 "trajectory=bezier"),
  AFP_PROP_INT ("classes", "M", AFP_PROPERTY_FORMAT, AfpHyper, classes, -1, HYPER_MAX_CLASSES, "-1",
                "classes",
                "Scale classes beyond the inner square, for vectors that lie outside of it; -1: by "
                "bits, else 1"),
  AFP_PROP_ENUM (
      "class-rule", NULL, 0, AfpHyper, class_rule, "nearest", rule_values,
      "Which classes a vector may be coded in: nearest: all, for the least error; l2: the "
      "paper's, that of the smallest circle that holds it (of the inner square, if that "
      "does), for fewer bits with entropy behind; linf: that of the smallest square"),
  AFP_PROP_ENUM ("trajectory", NULL, AFP_PROPERTY_FORMAT, AfpHyper, trajectory, "grid",
                 trajectory_values,
                 "grid: the released code's sheared grid, centred; winding: the paper's irrational "
                 "winding of the torus; lattice and trellis: points of a lattice, paths through a "
                 "trellis, for entropy behind it; bezier: single numbers, as positions on a curve "
                 "that follows the sorted numbers"),
  AFP_PROP_UINT ("dimension", "d", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, dimension, 1,
                 HYPER_MAX_DIMENSION, "auto", "weights",
                 "Numbers coded together; auto: 2, or an odd divisor where the plane's own vectors "
                 "are odd"),
  AFP_PROP_UINT (
      "join", NULL, AFP_PROPERTY_FORMAT, AfpHyper, join, 1, 8, "1", "vectors",
      "Vectors whose symbols are digits of one code: points=25 join=3 takes 14 bits, not 15 "
      "(trajectory=grid, winding, bezier; an entropy coder does better with join=1)"),
  AFP_PROP_ENUM ("frame", NULL, AFP_PROPERTY_FORMAT, AfpHyper, frame, "tensor", frame_values,
                 "What has a centre and a scale of its own: the tensor, each row, or each group of "
                 "frame-size weights of a row"),
  AFP_PROP_UINT ("frame-size", NULL, AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, frame_size,
                 1, MAX_FRAME_SIZE, "auto", "weights",
                 "Weights in a group, a multiple of the dimension (frame=group); auto: 256"),
  AFP_PROP_ENUM ("lattice", NULL, AFP_PROPERTY_FORMAT, AfpHyper, lattice, "auto", lattice_values,
                 "With trajectory=lattice; auto: e8, or the best one whose dimension divides the "
                 "plane's own vectors"),
  AFP_PROP_DOUBLE (
      "bits", NULL, 0, AfpHyper, bits, 0, 12, "0", "bits",
      "Bits per weight: with trajectory=lattice and trellis those that entropy is to make of the "
      "codes, else those of the codes, which say how many points and classes there are; 0: 2 with "
      "lattice and trellis, else as points and classes say"),
  AFP_PROP_DOUBLE (
      "nmse", NULL, 0, AfpHyper, nmse, 0, 0.9, "0", NULL,
      "Error to be reached, as a part of the tensor's energy, in place of bits: with "
      "trajectory=lattice and trellis the step follows from it; with grid and winding the points "
      "lie so far apart that entropy has the least to do; 0: none"),
  AFP_PROP_DOUBLE ("max-error", NULL, 0, AfpHyper, max_error, 0, 0.5, "0", NULL,
                   "No number is off by more than this part of the tensor's largest magnitude "
                   "(trajectory=lattice, which is then z); 0: none"),
  AFP_PROP_DOUBLE (
      "rdo", NULL, 0, AfpHyper, rdo, 0, 1, "0.09", NULL,
      "What a bit costs in the choice of points, in squared steps (trajectory=lattice); 0: "
      "the nearest point"),
  AFP_PROP_UINT (
      "symbol-bits", NULL, AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, symbol_bits, 4, 16,
      "auto", "bits",
      "Width of a symbol before entropy (trajectory=lattice, trellis): sets a limit to far numbers; auto: by bits, "
      "for numbers a hundred times as large as most"),
  AFP_PROP_UINT ("states", NULL, AFP_PROPERTY_FORMAT, AfpHyper, states, 4, 256, "256", NULL,
                 "States of the trellis: a power of two; more are better and slower"),
  AFP_PROP_UINT ("degree", NULL, AFP_PROPERTY_FORMAT, AfpHyper, degree, 1, HYPER_BEZIER_MAX_DEGREE,
                 "5", NULL, "Degree of the curve (trajectory=bezier)"),
  AFP_PROP_UINT ("segments", NULL, AFP_PROPERTY_FORMAT, AfpHyper, segments, 1,
                 HYPER_BEZIER_MAX_SEGMENTS, "1", NULL,
                 "Pieces that the curve consists of, each of degree + 1 control points, the ends "
                 "shared (trajectory=bezier)"),
};

/* The trellis at 0.5 bits comes out below what is asked for. */
#define PRESETS_AT(R, TRELLIS)                                      \
  { "z-" R, "trajectory=lattice lattice=z bits=" R,                 \
    R " bits per weight with entropy behind: whole numbers" },      \
      { "lattice-" R, "trajectory=lattice lattice=e8 bits=" R,      \
        R " bits per weight with entropy behind: the lattice E8" }, \
  {                                                                 \
    "trellis-" R, "trajectory=trellis states=256 bits=" TRELLIS,    \
        R " bits per weight with entropy behind: a trellis"         \
  }

static const AfpPreset hyper_presets[] = {
  PRESETS_AT ("4.0", "4.0"), PRESETS_AT ("3.0", "3.0"), PRESETS_AT ("2.0", "2.0"),
  PRESETS_AT ("1.5", "1.5"), PRESETS_AT ("1.0", "1.0"), PRESETS_AT ("0.5", "0.505"),
};

/* --- forms --- */

/* In the order of trajectory_values. */
static const HyperForm *const forms[] = { &hyper_form_points, &hyper_form_points,
                                          &hyper_form_lattice, &hyper_form_trellis,
                                          &hyper_form_bezier };

static const HyperForm *
form_of (AfpCodec *codec)
{
  return forms[AFP_HYPER (codec)->trajectory];
}

static gboolean
hyper_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  if (!hyper_check_goals (AFP_HYPER (codec), error))
    return FALSE;
  return form_of (codec)->describe (AFP_HYPER (codec), layout, error);
}

static gboolean
hyper_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  return form_of (codec)->fit (AFP_HYPER (codec), ctx, error);
}

static gpointer
hyper_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  return form_of (codec)->open (AFP_HYPER (codec), ctx, error);
}

static void
hyper_close (AfpCodec *codec, gpointer state)
{
  form_of (codec)->close (state);
}

static gboolean
hyper_encode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return form_of (codec)->encode_block (state, block, error);
}

static gboolean
hyper_decode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return form_of (codec)->decode_block (state, block, error);
}

static guint64
hyper_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  return form_of (codec)->scratch (AFP_HYPER (codec), layout);
}

static guint64
hyper_thread_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  return form_of (codec)->thread_scratch (AFP_HYPER (codec), layout);
}

/* --- class --- */

static void
afp_hyper_class_init (AfpHyperClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  afp_element_class_add_properties (element_class, hyper_properties,
                                    G_N_ELEMENTS (hyper_properties), 0);
  afp_element_class_set_presets (element_class, hyper_presets, G_N_ELEMENTS (hyper_presets));
  afp_element_class_set_details (
      element_class,
      "Vectors become positions on a trajectory, at one of several scales (Hyper-Compression)",
      "load location=model.safetensors ! hyper U=225 M=1 ! entropy ! eval ! write "
      "location=model.h5");
  codec_class->version = 3;
  codec_class->default_planes = AFP_KINDS_ALL_FLOAT;
  codec_class->describe = hyper_describe;
  codec_class->fit = hyper_fit;
  codec_class->open = hyper_open;
  codec_class->close = hyper_close;
  codec_class->encode_block = hyper_encode_block;
  codec_class->decode_block = hyper_decode_block;
  codec_class->scratch = hyper_scratch;
  codec_class->thread_scratch = hyper_thread_scratch;
}

static void
afp_hyper_init (AfpHyper *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("hyper", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN,
                           "Trajectory codec (Hyper-Compression)", afp_hyper_get_type)
