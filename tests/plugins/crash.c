/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A codec that crashes where it is told to. */
#include "afpipe.h"

#include <stdlib.h>

#define CRASH_TYPE_CODEC (crash_codec_get_type ())
G_DECLARE_FINAL_TYPE (CrashCodec, crash_codec, CRASH, CODEC, AfpCodec)

struct _CrashCodec {
  AfpCodec parent_instance;
  int in, how;
};

G_DEFINE_FINAL_TYPE (CrashCodec, crash_codec, AFP_TYPE_CODEC)

enum { IN_NONE, IN_CHECK, IN_DESCRIBE, IN_FIT, IN_ENCODE, IN_DECODE, IN_START };
enum { HOW_ADDRESS, HOW_ABORT, HOW_ZERO, HOW_STACK, HOW_MESSAGE };
static const char *const places[] = { "none",   "check",  "describe", "fit",
                                      "encode", "decode", "start",    NULL };
static const char *const ways[] = { "address", "abort", "zero", "stack", "message", NULL };

static const AfpProperty properties[] = {
  AFP_PROP_ENUM ("in", NULL, AFP_PROPERTY_FORMAT, CrashCodec, in, "none", places, "Where"),
  AFP_PROP_ENUM ("how", NULL, AFP_PROPERTY_FORMAT, CrashCodec, how, "address", ways, "How"),
};

static volatile int *volatile nowhere = (volatile int *) 4096; /* not NULL: UBSan would see that */
static volatile int nothing;

/* Deeper than any stack. */
static int
overflow (volatile char *above, guint64 depth)
{
  volatile char here[4096];

  here[0] = above[0];
  here[1] = (char) (here[0] + 1);
  return depth ? overflow (here + 1, depth - 1) + here[0] : 0;
}

static void
crash (AfpElement *element, int in)
{
  CrashCodec *self = CRASH_CODEC (element);
  volatile char first[2] = { 0, 0 };

  if (self->in != in)
    return;
  switch (self->how) {
  case HOW_ADDRESS:
    *nowhere = 1;
    break;
  case HOW_ABORT:
    abort ();
  case HOW_ZERO:
    nothing = 1 / nothing;
    break;
  case HOW_STACK:
    nothing = overflow (first, G_MAXUINT64);
    break;
  default:
    g_error ("a message that ends the process");
  }
}

static gboolean
crash_codec_check (AfpElement *element, GError **error)
{
  crash (element, IN_CHECK);
  return AFP_ELEMENT_CLASS (crash_codec_parent_class)->check
             ? AFP_ELEMENT_CLASS (crash_codec_parent_class)->check (element, error)
             : TRUE;
}

static gboolean
crash_codec_start (AfpElement *element, AfpRun *run, GError **error)
{
  crash (element, IN_START);
  return AFP_ELEMENT_CLASS (crash_codec_parent_class)->start
             ? AFP_ELEMENT_CLASS (crash_codec_parent_class)->start (element, run, error)
             : TRUE;
}

static gboolean
crash_codec_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  crash (AFP_ELEMENT (codec), IN_DESCRIBE);
  afp_layout_add_code (layout, "codes", 1, 1);
  return TRUE;
}

static gboolean
crash_codec_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  crash (AFP_ELEMENT (codec), IN_FIT);
  return TRUE;
}

static gboolean
crash_codec_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  crash (AFP_ELEMENT (codec), IN_ENCODE);
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->planes[0].codes[i] = block->values[i] > 0;
  return TRUE;
}

static gboolean
crash_codec_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  crash (AFP_ELEMENT (codec), IN_DECODE);
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->values[i] = block->planes[0].codes[i] ? 1 : -1;
  return TRUE;
}

static void
crash_codec_class_init (CrashCodecClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (element_class, "Keeps signs, and crashes.",
                                 "synth ! crash in=none ! null");
  element_class->check = crash_codec_check;
  element_class->start = crash_codec_start;
  codec_class->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_COEFFS);
  codec_class->describe = crash_codec_describe;
  codec_class->fit = crash_codec_fit;
  codec_class->encode_block = crash_codec_encode;
  codec_class->decode_block = crash_codec_decode;
}

static void
crash_codec_init (CrashCodec *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("crash", "0.7", "MIT", "https://example.org/crash", "Crashes",
                           crash_codec_get_type)
