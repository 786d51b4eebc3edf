/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "net-kernel.h"

/*
 * What an image classifier computes, layer by layer: nodes in an order in which each comes after its inputs, shapes and weights
 * known. Nothing of a file format is known here, and no weight is read.
 */

#define AFP_NET_MAX_RANK 4
#define AFP_NET_MAX_NODES 4096
#define AFP_NET_MAX_ELEMENTS (G_GUINT64_CONSTANT (1) << 26) /* numbers of one image in a layer */
#define AFP_NET_MAX_AXIS (1u << 24)                         /* also of windows and strides */
#define AFP_NET_MAX_WEIGHTS 4
#define AFP_NET_ANY G_MAXUINT64 /* an axis of a reshape that the others leave open */

/* Of one image: channels last. */
typedef struct {
  guint rank;
  guint64 axes[AFP_NET_MAX_RANK];
} AfpNetShape;

typedef enum {
  AFP_NET_INPUT, /* shape */
  AFP_NET_DENSE, /* outputs; of the last axis */
  AFP_NET_CONV,
  AFP_NET_DEPTHWISE, /* outputs: of each channel */
  AFP_NET_MAX_POOL,
  AFP_NET_AVERAGE_POOL,
  AFP_NET_SURROUND, /* window.top, left; bottom, right */
  AFP_NET_NORM,     /* with the mean and the variance of the training */
  AFP_NET_AFFINE,   /* factor, offset */
  AFP_NET_ACTIVATE,
  AFP_NET_RESHAPE, /* shape; rank 0: as it is */
  AFP_NET_ADD,
  AFP_NET_MULTIPLY,
  AFP_NET_CONCATENATE /* along axis */
} AfpNetOp;

/* A tensor of a layer, outputs x inputs; vectors are 1 x n. */
typedef struct {
  const char *names[2]; /* "kernel"; and what others call it, or NULL */
  guint64 rows, cols;
} AfpNetWeight;

/**
 * AfpNetNode:
 * @op: what it computes
 * @name, @class_name: of the layer, for errors and tensors
 * @scope: (nullable): the model that it is in, the innermost
 * @inputs: (array length=n_inputs): nodes before it
 * @activation: of what comes out
 * @outputs: see AfpNetOp
 * @groups: of channels, which convolutions do not mix
 * @has_bias: a bias; of a norm: an offset
 * @has_gamma: of a norm: a factor
 * @is_same: windows reach beyond the edges, so that a stride of 1 keeps the size
 * @is_global: the window of a pool is the whole image
 * @is_flat: and its axes go
 * @kernel: what the weights are called
 * @bottom, @right: of a surround
 * @axis: of a concatenation; the last is -1
 * @epsilon, @factor, @offset: of a norm and an affine
 * @window: kernel, stride and dilation; the rest is found
 * @shape: of the output, found but where AfpNetOp says so
 * @weights, @n_weights: found
 * @buffer: found: the node whose memory its output is in
 * @last: found: the last node that looks at this node's own memory
 */
typedef struct {
  AfpNetOp op;
  char *name, *scope;
  const char *class_name;
  guint *inputs, n_inputs;
  AfpNetActivation activation;
  guint64 outputs, groups;
  gboolean has_bias, has_gamma, is_same, is_global, is_flat;
  const char *kernel[2];
  guint64 bottom, right;
  int axis;
  double epsilon, factor, offset;
  AfpNetWindow window;
  AfpNetShape shape;
  AfpNetWeight weights[AFP_NET_MAX_WEIGHTS];
  guint n_weights;
  guint buffer, last;
} AfpNetNode;

/**
 * AfpNetGraph:
 * @nodes: (element-type AfpNetNode): the first is the input, which there is one of
 * @output: the node whose output is asked for
 * @has_softmax: a softmax ended it, and was taken off: the output are logits
 * @peak: numbers of an image that are in memory at a time
 */
typedef struct {
  GPtrArray *nodes;
  guint output;
  gboolean has_softmax;
  guint64 peak;
} AfpNetGraph;

AfpNetGraph *afp_net_graph_new (void);
void afp_net_graph_free (AfpNetGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpNetGraph, afp_net_graph_free)
void afp_net_node_free (AfpNetNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpNetNode, afp_net_node_free)

const AfpNetNode *afp_net_graph_get (const AfpNetGraph *graph, guint index);
/* Finds what AfpNetNode says. AFP_ERROR_PLAN: it cannot be so. @node is taken, also on error. */
gboolean afp_net_graph_add (AfpNetGraph *graph, AfpNetNode *node, GError **error);
/* All nodes are there; @output: the one that is asked for. AFP_ERROR_PLAN: there is no network */
gboolean afp_net_graph_finish (AfpNetGraph *graph, guint output, GError **error);

/* AFP_ERROR_PLAN: the network cannot be run, because of a layer; returns FALSE. @layer: has a name and a class_name. */
#define afp_net_refuse(layer, error, ...) \
  afp_net_refuse_layer ((layer)->name, (layer)->class_name, (error), __VA_ARGS__)
gboolean afp_net_refuse_layer (const char *name, const char *class_name, GError **error,
                               const char *format, ...) G_GNUC_PRINTF (4, 5);

guint64 afp_net_shape_count (const AfpNetShape *shape);
char *afp_net_shape_to_string (const AfpNetShape *shape); /* "28x28x1" */
