/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "fuzz.h"

#include <errno.h>
#include <malloc.h>

/*
 * Bytes of the heap that are held. With a sanitizer its hooks tell of each block; without one the functions of the C library are
 * replaced by ones that count. Only what happens between start and stop counts, of all threads.
 */
static gint64 held, peak;
static gboolean counting;

static void
add (gint64 bytes)
{
  if (!counting)
    return;
  const gint64 now = __atomic_add_fetch (&held, bytes, __ATOMIC_RELAXED);
  gint64 seen = __atomic_load_n (&peak, __ATOMIC_RELAXED);
  while (now > seen &&
         !__atomic_compare_exchange_n (&peak, &seen, now, TRUE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    ;
}

#ifdef AFP_SANITIZED

int __sanitizer_install_malloc_and_free_hooks (void (*on_malloc) (const volatile void *, size_t),
                                               void (*on_free) (const volatile void *));
size_t __sanitizer_get_allocated_size (const volatile void *block);
int __lsan_do_recoverable_leak_check (void) __attribute__ ((weak));

static void
on_malloc (const volatile void *block, size_t n)
{
  add ((gint64) n);
}

static void
on_free (const volatile void *block)
{
  if (counting && block)
    add (-(gint64) __sanitizer_get_allocated_size (block));
}

static void
install (void)
{
  static gboolean installed;

  if (!installed)
    __sanitizer_install_malloc_and_free_hooks (on_malloc, on_free);
  installed = TRUE;
}

gboolean
fuzz_leaks (void)
{
  return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check () != 0;
}

#else

#define REPLACED __attribute__ ((visibility ("default")))

/* The C library's own, by their other names. */
void *__libc_malloc (size_t n);
void *__libc_calloc (size_t n, size_t size);
void *__libc_realloc (void *block, size_t n);
void *__libc_memalign (size_t alignment, size_t n);
void __libc_free (void *block);

static void *
count (void *block)
{
  if (counting && block)
    add ((gint64) malloc_usable_size (block));
  return block;
}

static void
uncount (void *block)
{
  if (counting && block)
    add (-(gint64) malloc_usable_size (block));
}

REPLACED void *
malloc (size_t n)
{
  return count (__libc_malloc (n));
}

REPLACED void *
calloc (size_t n, size_t size)
{
  return count (__libc_calloc (n, size));
}

REPLACED void *
realloc (void *block, size_t n)
{
  uncount (block);
  return count (__libc_realloc (block, n));
}

REPLACED void
free (void *block)
{
  uncount (block);
  __libc_free (block);
}

REPLACED void *
memalign (size_t alignment, size_t n)
{
  return count (__libc_memalign (alignment, n));
}

REPLACED void *
aligned_alloc (size_t alignment, size_t n)
{
  return count (__libc_memalign (alignment, n));
}

REPLACED int
posix_memalign (void **block, size_t alignment, size_t n)
{
  *block = count (__libc_memalign (alignment, n));
  return *block ? 0 : ENOMEM;
}

static void
install (void)
{
}

gboolean
fuzz_leaks (void)
{
  return FALSE;
}

#endif

void
fuzz_alloc_start (void)
{
  install ();
  held = 0;
  peak = 0;
  counting = TRUE;
}

gsize
fuzz_alloc_stop (void)
{
  counting = FALSE;
  return (gsize) MAX (peak, 0);
}
