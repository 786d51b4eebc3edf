/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper.h"
#include "hyper-kernel.h"

#include <math.h>

/*
 * hyper: vectors become positions on a trajectory that runs through a square, at one of several scales
 * (Hyper-Compression). Format and training: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! hyper U=225 M=1 ! entropy ! eval ! write location=m.h5"
 */
#define MAX_FRAME_SIZE (1u << 20)

G_DEFINE_FINAL_TYPE (AfpHyper, afp_hyper, AFP_TYPE_CODEC)

/* In the order of HyperTrajectoryValue and HyperFrameScope. */
static const char *const trajectory_values[] = { "grid", "winding", "lattice", "trellis", NULL };
static const char *const lattice_values[] = { "auto", "z", "a2", "d4", "e8", NULL };
static const char *const frame_values[] = { "tensor", "row", "group", NULL };

static const AfpProperty hyper_properties[] = {
  AFP_PROP_UINT ("points", "U", AFP_PROPERTY_FORMAT, AfpHyper, points, 1, HYPER_MAX_POINTS, "225",
                 "points", "Points on the trajectory"),
  AFP_PROP_UINT ("classes", "M", AFP_PROPERTY_FORMAT, AfpHyper, classes, 0, HYPER_MAX_CLASSES, "1",
                 "classes",
                 "Scale classes beyond the inner square, for vectors that lie outside of it"),
  AFP_PROP_ENUM ("trajectory", NULL, AFP_PROPERTY_FORMAT, AfpHyper, trajectory, "grid",
                 trajectory_values,
                 "grid: the released code's sheared grid, centred; winding: the paper's irrational "
                 "winding of the torus; lattice and trellis: points of a lattice, paths through a "
                 "trellis, for entropy behind it"),
  AFP_PROP_UINT ("dimension", "d", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, dimension, 1,
                 HYPER_MAX_DIMENSION, "auto", "weights",
                 "Numbers coded together; auto: 2, or an odd divisor where the plane's own vectors "
                 "are odd"),
  AFP_PROP_UINT (
      "join", NULL, AFP_PROPERTY_FORMAT, AfpHyper, join, 1, 8, "1", "vectors",
      "Vectors whose symbols are digits of one code: points=25 join=3 takes 14 bits, not 15 "
      "(trajectory=grid, winding; an entropy coder does better with join=1)"),
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
      "bits", NULL, 0, AfpHyper, bits, 0.1, 12, "2", "bits",
      "Bits per weight that entropy is to make of the codes (trajectory=lattice, trellis)"),
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
};

#define PRESETS_AT(R)                                               \
  { "z-" R, "trajectory=lattice lattice=z bits=" R,                 \
    R " bits per weight with entropy behind: whole numbers" },      \
      { "lattice-" R, "trajectory=lattice lattice=e8 bits=" R,      \
        R " bits per weight with entropy behind: the lattice E8" }, \
  {                                                                 \
    "trellis-" R, "trajectory=trellis states=256 bits=" R,          \
        R " bits per weight with entropy behind: a trellis"         \
  }

static const AfpPreset hyper_presets[] = {
  PRESETS_AT ("4.0"), PRESETS_AT ("3.0"), PRESETS_AT ("2.0"),
  PRESETS_AT ("1.5"), PRESETS_AT ("1.0"), PRESETS_AT ("0.5"),
};

/* --- forms --- */

/* In the order of trajectory_values. */
static const HyperForm *const forms[] = { &hyper_form_points, &hyper_form_points,
                                          &hyper_form_lattice, &hyper_form_trellis };

guint
hyper_symbol_width (const AfpHyper *self)
{
  return self->symbol_bits ? self->symbol_bits : (guint) CLAMP (ceil (self->bits + 6), 8, 16);
}

guint
hyper_code_bits (const AfpHyper *self, GError **error)
{
  const guint bits = hyper_joined_bits (self->points, self->classes, self->join);

  if (self->join > 1 && self->frame != HYPER_FRAME_TENSOR) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "join=%u needs frame=tensor: codes would reach across frames; set join=1",
                 self->join);
    return 0;
  }
  if (bits == 0) {
    guint most = self->join;
    while (hyper_joined_bits (self->points, self->classes, most) == 0)
      most--;
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "join=%u symbols of points=%u, classes=%u do not go into 32 bits: join at most %u",
                 self->join, self->points, self->classes, most);
  }
  return bits;
}

static const HyperForm *
form_of (AfpCodec *codec)
{
  return forms[AFP_HYPER (codec)->trajectory];
}

static gboolean
hyper_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
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
  codec_class->version = 2;
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
