/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "afp-bits.h"

static const AfpWriter *const writer = &afp_writer_vptq;
static const AfpReader *const reader = &afp_reader_vptq;

/* --- tensors that vptq axis=output has coded ----------------------------------------------------------------------- */

#define ROWS 5
#define COLS 17
#define LENGTH 2
#define VECTORS 3 /* in a column; the last one is padded */
#define PARAMS "vector-length=2,centroids=8,axis=output"

static guint32
main_index (gsize i)
{
  return (guint32) (i * 5 + 3) % 8;
}

static guint32
residual_index (gsize i)
{
  return (guint32) (i * 3 + 1) % 4;
}

static AfpPlane *
code_plane (const char *name, guint bits, guint32 (*index) (gsize))
{
  const AfpPlaneDesc desc = {
    .name = name, .kind = AFP_KIND_CODE, .rows = COLS, .cols = VECTORS, .bits = bits
  };
  guint32 symbols[COLS * VECTORS];
  const gsize n_bytes = afp_bits_bytes (COLS * VECTORS, bits);
  g_autofree guint8 *packed = g_malloc0 (n_bytes);

  for (gsize i = 0; i < COLS * VECTORS; i++)
    symbols[i] = index (i);
  afp_bits_pack (packed, 0, symbols, COLS * VECTORS, bits);
  g_autoptr (GBytes) bytes = g_bytes_new (packed, n_bytes);
  return afp_plane_new_code (&desc, bytes);
}

/* Numbers first, first + step ..., as the codec f16 stores them: the exponent of a common factor, then halves. */
static AfpPlane *
half_plane (const char *name, AfpPlaneKind kind, guint64 rows, guint64 cols, float first,
            float step)
{
  const gsize n = rows * cols;
  const AfpPlaneDesc desc = {
    .name = name, .kind = kind, .scope = AFP_SCOPE_TENSOR, .rows = rows, .cols = cols
  };
  const AfpPlaneDesc halves = { .name = "codes",
                                .kind = AFP_KIND_CODE,
                                .scope = AFP_SCOPE_TENSOR,
                                .rows = 1,
                                .cols = n + 1,
                                .bits = 16 };
  g_autofree guint16 *packed = g_new (guint16, n + 1);

  packed[0] = GUINT16_TO_LE (1024);
  for (gsize i = 0; i < n; i++)
    packed[i + 1] = GUINT16_TO_LE (afp_f32_to_f16 (first + step * (float) i));
  g_autoptr (GBytes) bytes = g_bytes_new (packed, (n + 1) * sizeof *packed);
  g_autoptr (AfpPlane) code = afp_plane_new_code (&halves, bytes);
  return afp_plane_new_coded (&desc, "f16", 1, "", 1, &code);
}

typedef struct {
  const char *name, *codec, *params;
  guint centroids, residuals;
  gboolean norm;
  AfpPlane *more; /* (transfer full) (nullable) */
} Make;

static AfpTensor *
make_coded (const Make *make)
{
  const guint64 shape[] = { ROWS, COLS };
  g_autoptr (AfpSpec) spec = afp_spec_new (make->name, AFP_DTYPE_BF16, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) raw = afp_plane_new_raw (spec, NULL);
  AfpPlane *planes[7];
  guint n = 0;

  planes[n++] = code_plane ("indices", 3, main_index);
  planes[n++] = half_plane ("codebook", AFP_KIND_CODEBOOK, make->centroids, LENGTH, 1, 1);
  if (make->residuals > 0) {
    planes[n++] = code_plane ("residual-indices", 2, residual_index);
    planes[n++] =
        half_plane ("residual-codebook", AFP_KIND_CODEBOOK, make->residuals, LENGTH, 0.25f, 0.25f);
  }
  if (make->norm) {
    planes[n++] = half_plane ("scale", AFP_KIND_SCALE, 1, COLS, 1, 0.5f);
    planes[n++] = half_plane ("bias", AFP_KIND_SCALE, 1, COLS, -4, 0.5f);
  } else
    planes[n++] = half_plane ("scale", AFP_KIND_SCALE, 1, 1, 2, 0);
  if (make->more != NULL)
    planes[n++] = make->more;
  g_autoptr (AfpPlane) root =
      afp_plane_new_coded (afp_plane_get_desc (raw), make->codec, 3, make->params, n, planes);
  for (guint i = 0; i < n; i++)
    afp_plane_unref (planes[i]);
  return afp_tensor_new (spec, root);
}

/* The weight at row, col by the definition. */
static float
expected (const Make *make, gsize row, gsize col)
{
  const gsize i = col * VECTORS + row / LENGTH, d = row % LENGTH;
  float x = 1 + (float) (main_index (i) * LENGTH + d);

  if (make->residuals > 0)
    x += 0.25f * (float) (residual_index (i) * LENGTH + d + 1);
  return make->norm ? x * (1 + 0.5f * (float) col) + (-4 + 0.5f * (float) col) : x * 2;
}

static void
check_weights (const Make *make, AfpTensor *tensor)
{
  GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (tensor));
  const guint8 *halves = g_bytes_get_data (bytes, NULL);
  float weights[ROWS * COLS];

  ck_assert_uint_eq (g_bytes_get_size (bytes), sizeof weights / 2);
  afp_dtype_read (AFP_DTYPE_F16, halves, 0, weights, ROWS * COLS);
  for (gsize r = 0; r < ROWS; r++)
    for (gsize c = 0; c < COLS; c++)
      ck_assert_msg (weights[r * COLS + c] == expected (make, r, c), "row %zu, column %zu: %g", r,
                     c, (double) weights[r * COLS + c]);
}

/* --- folders ------------------------------------------------------------------------------------------------------- */

static const Make makes[] = { { "m.a.weight", "vptq", PARAMS ",norm=column", 8, 4, TRUE, NULL },
                              { "m.b.weight", "vptq", PARAMS, 8, 0, FALSE, NULL } };

typedef struct {
  AfpWriterOptions options;
  AfpWriterState state;
  AfpTensor *tensors[5];
} Job;

/* Two coded linears, the first with a bias; a plain linear and a norm. */
static void
job_setup (Job *job, const char *location)
{
  static const guint8 bytes[64] = { 1, 2, 3 };
  static const guint64 shape[] = { ROWS, 2 };
  GError *error = NULL;

  *job = (Job){ .tensors = { make_coded (&makes[0]), make_coded (&makes[1]),
                             tensor_with ("m.a.bias", AFP_DTYPE_BF16, 1, shape, bytes),
                             tensor_with ("m.c.weight", AFP_DTYPE_F32, 2, shape, bytes),
                             tensor_with ("norm.weight", AFP_DTYPE_F16, 1, shape, bytes) } };
  job->options = (AfpWriterOptions){ .location = location, .plan_state = &job->state };
  for (guint i = 0; i < G_N_ELEMENTS (job->tensors); i++)
    ck_assert_msg (writer->plan_tensor (&job->options, job->tensors[i], &error), "%s",
                   error ? error->message : "");
}

static void
job_clear (Job *job)
{
  for (guint i = 0; i < G_N_ELEMENTS (job->tensors); i++)
    afp_tensor_unref (job->tensors[i]);
  job->state.free (job->state.data);
}

static char *
read_text (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  char *text = NULL;

  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

/* The folder holds what the job has. */
static void
check_folder (const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename (folder, file, NULL);
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  guint found = 0;

  ck_assert_msg (handle != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (reader->get_n_tensors (handle), 5);
  for (guint i = 0; i < 5; i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, &error);
    ck_assert_msg (tensor != NULL, "%s", error ? error->message : "");
    const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
    for (guint m = 0; m < 2; m++)
      if (strcmp (name, makes[m].name) == 0) {
        check_weights (&makes[m], tensor);
        found++;
      }
  }
  ck_assert_uint_eq (found, 2);
  reader->close (handle);
}

START_TEST (round_trip)
{
  g_autofree char *folder = in_folder ("out");
  Job job;

  job_setup (&job, folder);
  write_all (writer, &job.options, G_N_ELEMENTS (job.tensors), job.tensors);
  check_folder (folder, "model.safetensors");
  g_autofree char *config = read_text (folder, "config.json");
  static const char *const words[] = {
    "\"torch_dtype\" : \"float16\"",
    "\"quant_method\" : \"vptq\"",
    "\"m.a\" : {",
    "\"in_features\" : 17",
    "\"out_features\" : 5",
    "\"bias\" : true",
    "\"bias\" : false",
    "\"enable_norm\" : true",
    "\"is_indice_packed\" : true",
    "\"indices_as_float\" : false",
    "\"m.c\"",
  };
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    ck_assert_msg (strstr (config, words[i]) != NULL, "'%s' is not in: %s", words[i], config);
  ck_assert_ptr_null (strstr (config, "norm_dim"));
  ck_assert_ptr_null (strstr (config, "enable_proxy_error"));
  job_clear (&job);
}
END_TEST

START_TEST (shards_and_what_was_there)
{
  g_autofree char *folder = in_folder ("out");
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) removed = g_ptr_array_new_with_free_func (g_free);
  Job job;

  job_setup (&job, folder);
  job.options.max_shard = 64;
  ck_assert (writer->list_files (&job.options, files, removed, NULL));
  ck_assert_uint_gt (files->len, 3);
  ck_assert (g_str_has_suffix (files->pdata[0], "/config.json"));
  ck_assert (g_str_has_suffix (files->pdata[files->len - 1], "/model.safetensors.index.json"));
  write_all (writer, &job.options, G_N_ELEMENTS (job.tensors), job.tensors);
  check_folder (folder, "model.safetensors.index.json");

  job.options.max_shard = 0;
  job.options.overwrite = TRUE;
  write_all (writer, &job.options, G_N_ELEMENTS (job.tensors), job.tensors);
  check_folder (folder, "model.safetensors");
  for (guint i = 1; i < files->len; i++)
    ck_assert_msg (!g_file_test (files->pdata[i], G_FILE_TEST_EXISTS), "%s",
                   (const char *) files->pdata[i]);
  job_clear (&job);
}
END_TEST

/* What is not finished leaves nothing, and no folder that was not there. */
START_TEST (nothing_half_done)
{
  g_autofree char *folder = in_folder ("out"), *file = put_file ("file", "x", 1);
  GError *error = NULL;
  Job job;

  job_setup (&job, folder);
  gpointer handle = writer->open (&job.options, &error);
  ck_assert (writer->write (handle, job.tensors[0], &error));
  ck_assert (!writer->finish (handle, &error));
  assert_error (error, AFP_ERROR_CODEC, "'m.b.indices' was planned, but never came");
  writer->close (handle, FALSE);
  ck_assert (!g_file_test (folder, G_FILE_TEST_EXISTS));
  g_autofree char *below = g_build_filename (file, "out", NULL);
  job.options.location = below;
  ck_assert_ptr_null (writer->open (&job.options, &error));
  assert_error (error, AFP_ERROR_IO, "cannot make the folder", "file/out");
  job_clear (&job);
}
END_TEST

/* In a pipeline: the tokenizer comes along, the configuration is kept. */
START_TEST (with_its_extras)
{
  static const char config[] = "{\"model_type\": \"llama\", \"dtype\": \"bfloat16\"}";
  const char *header = "{\"w.weight\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}";
  g_autofree char *model G_GNUC_UNUSED = put_safetensors ("model.safetensors", header, 8);
  g_autofree char *own G_GNUC_UNUSED = put_file ("config.json", config, strlen (config));
  g_autofree char *tokenizer G_GNUC_UNUSED = put_file ("tokenizer.json", "{}", 2),
                             *folder = in_folder ("out/");
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! write location=%s format=vptq", test_folder, folder);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, NULL);
  GError *error = NULL;

  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "");
  g_autofree char *written = read_text (folder, "config.json");
  g_autofree char *moved = read_text (folder, "tokenizer.json");
  ck_assert_str_eq (moved, "{}");
  ck_assert_ptr_nonnull (strstr (written, "\"model_type\" : \"llama\""));
  ck_assert_ptr_nonnull (strstr (written, "\"torch_dtype\" : \"float16\""));
  ck_assert_ptr_null (strstr (written, "bfloat16"));
  g_autoptr (AfpPipeline) again = afp_pipeline_new_from_text (text, NULL);
  ck_assert (!afp_pipeline_plan (again, &error));
  assert_error (error, AFP_ERROR_IO, "out/", "exists already", "overwrite=true");
}
END_TEST

/* --- what the format cannot hold ------------------------------------------------------------------------------------ */

#define assert_unfit(make, ...)                                                    \
  do {                                                                             \
    AfpWriterState state_ = { NULL, NULL };                                        \
    const AfpWriterOptions options_ = { .location = "o", .plan_state = &state_ };  \
    const Make make_ = make;                                                       \
    g_autoptr (AfpTensor) tensor_ = make_coded (&make_);                           \
    GError *error_ = NULL;                                                         \
    ck_assert (!writer->plan_tensor (&options_, tensor_, &error_));                \
    assert_error (error_, AFP_ERROR_PLAN, "format=vptq", make_.name, __VA_ARGS__); \
    state_.free (state_.data);                                                     \
  } while (0)
#define MAKE(...) ((Make){ __VA_ARGS__ })

static AfpPlane *
coded_codes (void)
{
  g_autoptr (AfpPlane) inner = code_plane ("bytes", 8, main_index);
  const AfpPlaneDesc desc = {
    .name = "residual-indices", .kind = AFP_KIND_CODE, .rows = COLS, .cols = VECTORS, .bits = 2
  };

  return afp_plane_new_coded (&desc, "entropy", 1, "", 1, &inner);
}

static AfpPlane *
coded_floats (void)
{
  g_autoptr (AfpPlane) inner = code_plane ("bytes", 8, main_index);
  const AfpPlaneDesc desc = { .name = "bias", .kind = AFP_KIND_SCALE, .rows = 1, .cols = COLS };

  return afp_plane_new_coded (&desc, "raw32", 1, "", 1, &inner);
}

START_TEST (what_does_not_fit)
{
  assert_unfit (MAKE ("m.weight", "seedlm", "", 8, 0, FALSE, NULL), "coded by seedlm",
                "put 'decode' before write");
  assert_unfit (MAKE ("m.weight", "vptq", "vector-length=2", 8, 0, FALSE, NULL), "along the inputs",
                "vptq axis=output");
  assert_unfit (MAKE ("m.other", "vptq", PARAMS, 8, 0, FALSE, NULL), "named P.weight",
                "exclude=m.other");
  assert_unfit (MAKE ("embed_tokens.weight", "vptq", PARAMS, 8, 0, FALSE, NULL), "an embedding",
                "exclude=embed_tokens.weight");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 6, 0, FALSE, NULL), "centroids=6", "power of two",
                "4 or 8");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 8, 3, FALSE, NULL), "residual-centroids=3",
                "2 or 4");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 8, 16, FALSE, NULL), "residual-centroids=16",
                "take 8 or less");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 8, 0, FALSE, coded_codes ()),
                "'residual-indices' went through entropy", "leave that stage out");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 8, 0, FALSE, coded_floats ()),
                "'bias' is stored by raw32", "f16");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS, 8, 0, FALSE,
                      half_plane ("residual", AFP_KIND_RESIDUAL, 1, 1, 0, 0)),
                "plane 'residual'", "residual-centroids=");
  assert_unfit (MAKE ("m.weight", "vptq", PARAMS ",groups=2", 8, 0, FALSE,
                      code_plane ("groups", 1, main_index)),
                "several codebooks", "groups=1 and outliers=0");
}
END_TEST

START_TEST (tensors_of_another_shape)
{
  AfpWriterState state = { NULL, NULL };
  const AfpWriterOptions options = { .location = "o", .plan_state = &state };
  const guint64 shape[] = { ROWS * COLS };
  g_autoptr (AfpTensor) coded = make_coded (&makes[1]);
  g_autoptr (AfpSpec) flat = afp_spec_new ("f.weight", AFP_DTYPE_F16, 1, shape, NULL, NULL);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (flat, afp_tensor_get_root (coded));
  GError *error = NULL;

  ck_assert (!writer->plan_tensor (&options, tensor, &error));
  assert_error (error, AFP_ERROR_PLAN, "'f.weight'", "outputs x inputs", "exclude=f.weight");
  state.free (state.data);
}
END_TEST

START_TEST (locations)
{
  g_autofree char *file = put_file ("file", "x", 1), *far = in_folder ("no/such");
  const char *const places[][2] = { { file, "it is a file" }, { far, "create it first" } };
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *text = g_strdup_printf (
        "synth shapes=4x4 ! write location=%s format=vptq overwrite=true", places[i][0]);
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, NULL);
    ck_assert (!afp_pipeline_plan (pipeline, &error));
    assert_error (error, AFP_ERROR_IO, "cannot write", places[i][1]);
  }
}
END_TEST

static TCase *
folders (void)
{
  TCase *tcase = io_case ("folders");
  tcase_add_test (tcase, round_trip);
  tcase_add_test (tcase, shards_and_what_was_there);
  tcase_add_test (tcase, with_its_extras);
  return tcase;
}

static TCase *
refusals (void)
{
  TCase *tcase = io_case ("refusals");
  tcase_add_test (tcase, nothing_half_done);
  tcase_add_test (tcase, what_does_not_fit);
  tcase_add_test (tcase, tensors_of_another_shape);
  tcase_add_test (tcase, locations);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { folders, refusals };

  return run_suite ("writer-vptq", cases, G_N_ELEMENTS (cases));
}
