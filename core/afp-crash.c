/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* REG_RIP */
#endif

#include "afp-crash.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define CRASH_STACK (64 * 1024)

static const struct {
  int number;
  const char *name;
} crash_signals[] = {
  { SIGSEGV, "SIGSEGV, a bad address" },
  { SIGBUS, "SIGBUS, a mapped file that became shorter" },
  { SIGFPE, "SIGFPE, a division by zero" },
  { SIGILL, "SIGILL, an illegal instruction" },
  { SIGABRT, "SIGABRT, abort() or a failed assertion" },
  { SIGTRAP, "SIGTRAP, a fatal message" },
};

static _Thread_local const AfpCrashNote *crash_top;
static const char *crash_tool; /* NULL: no handler is installed */
static _Atomic (AfpCrashHook) crash_hook;
static struct sigaction crash_before[G_N_ELEMENTS (crash_signals)];
static atomic_flag crash_busy = ATOMIC_FLAG_INIT;

/* Where types of elements come from. Only ever added to, so that it can be read at any moment. */
typedef struct _CrashProvider CrashProvider;
struct _CrashProvider {
  GType type;
  const char *text;
  CrashProvider *next;
};
static _Atomic (CrashProvider *) crash_providers;

/* --- notes --- */

static void
free_stack (gpointer memory)
{
  const stack_t none = { .ss_flags = SS_DISABLE };

  sigaltstack (&none, NULL);
  g_free (memory);
}

/* The handler needs a stack of its own in every thread: the other one may be what overflowed. */
static void
give_stack (void)
{
  static GPrivate given = G_PRIVATE_INIT (free_stack);
  static _Thread_local gboolean asked;
  stack_t stack;

  if (asked || !crash_tool)
    return;
  asked = TRUE;
  if (sigaltstack (NULL, &stack) != 0 || !(stack.ss_flags & SS_DISABLE))
    return;
  stack = (stack_t){ .ss_sp = g_malloc (CRASH_STACK), .ss_size = CRASH_STACK };
  if (sigaltstack (&stack, NULL) == 0)
    g_private_set (&given, stack.ss_sp);
  else
    g_free (stack.ss_sp);
}

static void
push_note (AfpCrashNote *note)
{
  give_stack ();
  note->outer = crash_top;
  crash_top = note;
}

void
afp_crash_enter (AfpCrashNote *note, AfpElement *element)
{
  *note = (AfpCrashNote){ .element = element };
  push_note (note);
}

void
afp_crash_enter_stage (AfpCrashNote *note, AfpElement *element, const char *tensor)
{
  *note = (AfpCrashNote){ .element = element, .tensor = tensor, .first = TRUE };
  push_note (note);
}

void
afp_crash_enter_file (AfpCrashNote *note, const char *file)
{
  *note = (AfpCrashNote){ .file = file };
  push_note (note);
}

void
afp_crash_leave (AfpCrashNote *note)
{
  crash_top = note->outer;
}

const AfpCrashNote *
afp_crash_get_note (void)
{
  return crash_top;
}

void
afp_crash_set_note (const AfpCrashNote *note)
{
  give_stack ();
  crash_top = note;
}

void
afp_crash_set_provider (GType type, const char *text)
{
  CrashProvider *provider = g_new0 (CrashProvider, 1);

  provider->type = type;
  provider->text = g_intern_string (text);
  provider->next = atomic_load (&crash_providers);
  while (!atomic_compare_exchange_weak (&crash_providers, &provider->next, provider))
    ;
}

/* --- from here on: what a signal handler may do, that is no stdio, no memory, no locks --- */

typedef struct {
  char *at, *end;
} Text;

static void
add_bytes (Text *text, const char *bytes, gsize n)
{
  const gsize room = (gsize) (text->end - text->at);

  n = MIN (n, room);
  memcpy (text->at, bytes, n);
  text->at += n;
}

static void
add (Text *text, const char *string)
{
  add_bytes (text, string ? string : "?", string ? strlen (string) : 1);
}

static void
add_hex (Text *text, guint64 value)
{
  char digits[2 + 16];
  gsize at = sizeof digits;

  do
    digits[--at] = "0123456789abcdef"[value % 16];
  while ((value /= 16) > 0);
  digits[--at] = 'x';
  digits[--at] = '0';
  add_bytes (text, digits + at, sizeof digits - at);
}

static const char *
name_signal (int number)
{
  for (gsize i = 0; i < G_N_ELEMENTS (crash_signals); i++)
    if (crash_signals[i].number == number)
      return crash_signals[i].name;
  return "a signal";
}

static const char *
find_provider (GType type)
{
  const CrashProvider *provider = atomic_load (&crash_providers);

  while (provider && provider->type != type)
    provider = provider->next;
  return provider ? provider->text : NULL;
}

static void
add_quoted (Text *text, const char *before, const char *string)
{
  add (text, before);
  add (text, " '");
  add (text, string);
  add (text, "'");
}

static void
add_element (Text *text, const AfpCrashNote *note)
{
  const char *provider = find_provider (G_OBJECT_TYPE (note->element));
  const AfpCrashNote *caller = note;

  if (provider) {
    add (text, " in plugin ");
    add (text, provider);
  }
  add_quoted (text, provider ? ", element" : " in element", afp_element_get_name (note->element));
  while (caller && !caller->first)
    caller = caller->outer;
  if (caller && caller->element && caller->element != note->element)
    add_quoted (text, ", called by", afp_element_get_name (caller->element));
  if (caller && caller->tensor)
    add_quoted (text, ", tensor", caller->tensor);
}

static void
add_note (Text *text)
{
  const AfpCrashNote *note = crash_top;

  if (note && note->file)
    add_quoted (text, " in plugin", note->file);
  else if (note && note->element)
    add_element (text, note);
  else
    add (text, " in afpipe itself");
}

static int
hex_value (char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static guint64
read_hex (const char **at)
{
  guint64 value = 0;

  for (; hex_value (**at) >= 0; (*at)++)
    value = value * 16 + (guint64) hex_value (**at);
  return value;
}

/* "7f00-7f10 r-xp 00001000 08:01 123   /path/afpx.so" */
static gboolean
add_mapping (Text *text, const char *line, guint64 address)
{
  const char *at = line;
  const guint64 start = read_hex (&at);
  const guint64 end = *at == '-' ? (at++, read_hex (&at)) : 0;

  if (address < start || address >= end)
    return FALSE;
  at += strspn (at, " ");
  at += strcspn (at, " ");
  at += strspn (at, " ");
  const guint64 offset = read_hex (&at);
  const char *path = strchr (at, '/');
  if (!path)
    return TRUE;
  add (text, "\n  at ");
  add_hex (text, address - start + offset);
  add (text, " of ");
  add (text, path);
  return TRUE;
}

/* Which file's code it was: the quantizer of another element, or a library. */
static void
add_module (Text *text, guint64 address)
{
  const int fd = open ("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char line[1024], buffer[1024];
  gsize length = 0;
  gssize n;

  if (fd < 0)
    return;
  for (gboolean found = FALSE; !found && (n = read (fd, buffer, sizeof buffer)) > 0;)
    for (gssize i = 0; i < n && !found; i++) {
      if (buffer[i] != '\n') {
        if (length < sizeof line - 1)
          line[length++] = buffer[i];
        continue;
      }
      line[length] = '\0';
      length = 0;
      found = add_mapping (text, line, address);
    }
  close (fd);
}

gsize
afp_crash_describe (char *text, gsize size, const char *tool, int number, gconstpointer pc)
{
  Text out = { text, text + size - 1 };

  add (&out, tool);
  add (&out, ": error: crashed (");
  add (&out, name_signal (number));
  add (&out, ")");
  add_note (&out);
  if (pc)
    add_module (&out, (guint64) (gsize) pc);
  add (&out, "\n");
  *out.at = '\0';
  return (gsize) (out.at - text);
}

static gconstpointer
get_pc (const ucontext_t *context)
{
#if defined(__x86_64__)
  return (gconstpointer) context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (gconstpointer) context->uc_mcontext.pc;
#else
  (void) context;
  return NULL;
#endif
}

/* Says what ran, once; then the signal does what it did before: it comes again when the handler returns, or is sent again. */
static void
on_crash (int number, siginfo_t *info, void *context)
{
  const AfpCrashHook hook = atomic_load (&crash_hook);
  char text[4096];

  if (hook && hook (number, info))
    return;
  while (atomic_flag_test_and_set (&crash_busy))
    pause (); /* another thread has crashed, too; this process ends soon */
  const gsize n = afp_crash_describe (text, sizeof text, crash_tool, number, get_pc (context));
  if (write (STDERR_FILENO, text, n) < 0) {
    /* there is nobody to tell */
  }
  for (gsize i = 0; i < G_N_ELEMENTS (crash_signals); i++)
    sigaction (crash_signals[i].number, &crash_before[i], NULL);
  if (info->si_code <= 0)
    raise (number);
}

/* --- for programs --- */

void
afp_crash_set_hook (AfpCrashHook hook)
{
  atomic_store (&crash_hook, hook);
}

void
afp_crash_install (const char *tool)
{
  struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK };

  sigemptyset (&action.sa_mask);
  for (gsize i = 0; i < G_N_ELEMENTS (crash_signals); i++)
    sigaddset (&action.sa_mask, crash_signals[i].number);
  crash_tool = tool;
  give_stack ();
  for (gsize i = 0; i < G_N_ELEMENTS (crash_signals); i++)
    sigaction (crash_signals[i].number, &action, &crash_before[i]);
}
