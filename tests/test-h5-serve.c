/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-child.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static GBytes *
count (GBytes *request, GBytes *data, GError **error)
{
  const gsize sizes[] = { g_bytes_get_size (request), g_bytes_get_size (data) };

  return g_bytes_new (sizes, sizeof sizes);
}

static const AfpH5Op ops[] = { { "count", count }, { NULL, NULL } };

/* What a server answers to these bytes, and how it ends. */
static gsize
talk (gconstpointer question, gsize n, gpointer answer, gsize max, int *status)
{
  gsize got = 0;
  int ends[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const pid_t child = fork ();
  if (child == 0) {
    close (ends[0]);
    _exit (afp_h5_serve (ends[1], ops));
  }
  close (ends[1]);
  ck_assert_int_eq (write (ends[0], question, n), (gssize) n);
  shutdown (ends[0], SHUT_WR);
  for (gssize more; (more = read (ends[0], (guint8 *) answer + got, max - got)) > 0;)
    got += (gsize) more;
  close (ends[0]);
  ck_assert_int_eq (waitpid (child, status, 0), child);
  return got;
}

typedef struct {
  AfpH5Question question;
  char rest[8];
} Message;

static Message
make (const char *op, guint64 request_bytes, guint64 data_bytes)
{
  Message message = { .question = { .seconds = 60,
                                    .memory = G_GUINT64_CONSTANT (1) << 30,
                                    .request_bytes = request_bytes,
                                    .data_bytes = data_bytes } };

  g_strlcpy (message.question.op, op, sizeof message.question.op);
  return message;
}

START_TEST (a_question_is_answered)
{
  const Message message = make ("count", 5, 3);
  struct {
    AfpH5Answer head;
    gsize sizes[2];
  } answer;
  int status;

  ck_assert_uint_eq (talk (&message, sizeof message, &answer, sizeof answer, &status),
                     sizeof answer);
  ck_assert_uint_eq (answer.head.ok, 1);
  ck_assert_uint_eq (answer.sizes[0], 5);
  ck_assert_uint_eq (answer.sizes[1], 3);
  ck_assert_int_eq (status, 0);
}
END_TEST

START_TEST (an_unknown_question_gets_an_error)
{
  const Message message = make ("divine", 0, 0);
  struct {
    AfpH5Answer head;
    char text[500];
  } answer = { 0 };
  int status;

  ck_assert_uint_gt (talk (&message, sizeof message, &answer, sizeof answer - 1, &status),
                     sizeof answer.head);
  ck_assert_uint_eq (answer.head.ok, 0);
  ck_assert_uint_eq (answer.head.code, AFP_ERROR_PLUGIN);
  ck_assert_ptr_nonnull (strstr (answer.text, "does not know 'divine'"));
}
END_TEST

START_TEST (half_a_question_gets_no_answer)
{
  const Message message = make ("count", 100, 0);
  const gsize sent[] = { 0, 1, sizeof message.question - 1, sizeof message };
  char answer[100];
  int status;

  ck_assert_uint_eq (talk (&message, sent[_i], answer, sizeof answer, &status), 0);
  ck_assert_int_ne (status, 0);
}
END_TEST

START_TEST (a_huge_request_gets_no_answer)
{
  const Message message = make ("count", G_MAXUINT64 / 2, 0);
  char answer[100];
  int status;

  ck_assert_uint_eq (talk (&message, sizeof message, answer, sizeof answer, &status), 0);
  ck_assert_int_ne (status, 0);
}
END_TEST

static TCase *
serve_case (void)
{
  TCase *tcase = io_case ("serve");
  tcase_add_test (tcase, a_question_is_answered);
  tcase_add_test (tcase, an_unknown_question_gets_an_error);
  tcase_add_loop_test (tcase, half_a_question_gets_no_answer, 0, 4);
  tcase_add_test (tcase, a_huge_request_gets_no_answer);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { serve_case };

  return run_suite ("h5-serve", cases, G_N_ELEMENTS (cases));
}
