/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into tests of a build with ThreadSanitizer: GLib is not instrumented and its locks are system calls of its own, so that the
 * sanitizer sees no order where there is one. Each function here does what GLib's does and tells the sanitizer of it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#endif

#include <dlfcn.h>
#include <glib-object.h>

/* Of the sanitizer; absent in the shell and other programs that inherit the preload. */
extern void __tsan_acquire (void *address) __attribute__ ((weak));
extern void __tsan_release (void *address) __attribute__ ((weak));

static void
acquire (gconstpointer address)
{
  if (__tsan_acquire)
    __tsan_acquire ((void *) address);
}

static void
release (gconstpointer address)
{
  if (__tsan_release)
    __tsan_release ((void *) address);
}

#define EXPORT __attribute__ ((visibility ("default")))
/* GLib's own function of this name and type. */
#define NEXT(name) ((__typeof__ (&name)) dlsym (RTLD_NEXT, #name))

/* --- locks --- */

#define LOCK(name, type)            \
  EXPORT void name (type *lock)     \
  {                                 \
    static __typeof__ (&name) next; \
    if (!next)                      \
      next = NEXT (name);           \
    next (lock);                    \
    acquire (lock);                 \
  }
#define TRYLOCK(name, type)              \
  EXPORT gboolean name (type *lock)      \
  {                                      \
    static __typeof__ (&name) next;      \
    if (!next)                           \
      next = NEXT (name);                \
    const gboolean locked = next (lock); \
    if (locked)                          \
      acquire (lock);                    \
    return locked;                       \
  }
#define UNLOCK(name, type)          \
  EXPORT void name (type *lock)     \
  {                                 \
    static __typeof__ (&name) next; \
    if (!next)                      \
      next = NEXT (name);           \
    release (lock);                 \
    next (lock);                    \
  }

LOCK (g_mutex_lock, GMutex)
TRYLOCK (g_mutex_trylock, GMutex)
UNLOCK (g_mutex_unlock, GMutex)
LOCK (g_rec_mutex_lock, GRecMutex)
TRYLOCK (g_rec_mutex_trylock, GRecMutex)
UNLOCK (g_rec_mutex_unlock, GRecMutex)
LOCK (g_rw_lock_writer_lock, GRWLock)
UNLOCK (g_rw_lock_writer_unlock, GRWLock)
LOCK (g_rw_lock_reader_lock, GRWLock)
UNLOCK (g_rw_lock_reader_unlock, GRWLock)

/* Waiting gives the mutex away and takes it back. */
EXPORT void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  release (mutex);
  NEXT (g_cond_wait) (cond, mutex);
  acquire (mutex);
}

EXPORT gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  release (mutex);
  const gboolean in_time = NEXT (g_cond_wait_until) (cond, mutex, end_time);
  acquire (mutex);
  return in_time;
}

/* --- references: the last one frees what all others have written --- */

#undef g_object_ref
EXPORT gpointer
g_object_ref (gpointer object)
{
  release (object);
  return NEXT (g_object_ref) (object);
}

EXPORT void
g_object_unref (gpointer object)
{
  release (object);
  acquire (object);
  NEXT (g_object_unref) (object);
}

EXPORT void
g_bytes_unref (GBytes *bytes)
{
  release (bytes);
  acquire (bytes);
  NEXT (g_bytes_unref) (bytes);
}

#undef g_atomic_ref_count_inc
EXPORT void
g_atomic_ref_count_inc (gatomicrefcount *count)
{
  release (count);
  NEXT (g_atomic_ref_count_inc) (count);
}

#undef g_atomic_ref_count_dec
EXPORT gboolean
g_atomic_ref_count_dec (gatomicrefcount *count)
{
  release (count);
  const gboolean last = NEXT (g_atomic_ref_count_dec) (count);
  if (last)
    acquire (count);
  return last;
}

/* --- once --- */

#undef g_once_init_enter
EXPORT gboolean
g_once_init_enter (volatile void *location)
{
  const gboolean first = NEXT (g_once_init_enter) (location);
  if (!first)
    acquire ((gconstpointer) location);
  return first;
}

#undef g_once_init_leave
EXPORT void
g_once_init_leave (volatile void *location, gsize result)
{
  release ((gconstpointer) location);
  NEXT (g_once_init_leave) (location, result);
}
