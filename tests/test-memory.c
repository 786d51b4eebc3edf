/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-memory.h"

#include <glib/gstdio.h>

/* A file system of our own: /proc and /sys as they might be. */
static char *root;

static void
setup (void)
{
  root = g_dir_make_tmp ("afp-memory-XXXXXX", NULL);
  ck_assert_ptr_nonnull (root);
}

static void
remove_tree (const char *path)
{
  GDir *dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    remove_tree (child);
  }
  if (dir)
    g_dir_close (dir);
  g_remove (path);
}

static void
teardown (void)
{
  remove_tree (root);
  g_free (root);
}

static void
put (const char *path, const char *text)
{
  g_autofree char *name = g_strconcat (root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (name);

  ck_assert_int_eq (g_mkdir_with_parents (folder, 0755), 0);
  ck_assert (g_file_set_contents (name, text, -1, NULL));
}

START_TEST (test_machine)
{
  put ("/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 1024000);
}
END_TEST

START_TEST (test_group_v2)
{
  put ("/proc/meminfo", "MemTotal:       1000 kB\n");
  put ("/proc/self/cgroup", "0::/a/b\n");
  put ("/sys/fs/cgroup/a/b/memory.max", "500000\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 500000);
}
END_TEST

START_TEST (test_group_v2_of_a_parent)
{
  put ("/proc/meminfo", "MemTotal:       1000 kB\n");
  put ("/proc/self/cgroup", "0::/a/b\n");
  put ("/sys/fs/cgroup/a/b/memory.max", "max\n");
  put ("/sys/fs/cgroup/a/memory.max", "300000\n");
  put ("/sys/fs/cgroup/memory.max", "400000\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 300000);
}
END_TEST

START_TEST (test_group_v2_root)
{
  put ("/proc/self/cgroup", "0::/\n");
  put ("/sys/fs/cgroup/memory.max", "200000\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 200000);
}
END_TEST

START_TEST (test_group_v1)
{
  put ("/proc/meminfo", "MemTotal:       1000 kB\n");
  put ("/proc/self/cgroup", "5:cpu:/x\n4:blkio,memory:/a\n");
  put ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "600000\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 600000);
}
END_TEST

START_TEST (test_group_without_limit)
{
  put ("/proc/meminfo", "MemTotal:       1000 kB\n");
  put ("/proc/self/cgroup", "4:memory:/a\n");
  put ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 1024000);
}
END_TEST

START_TEST (test_nothing_known)
{
  ck_assert_uint_eq (afp_memory_get_limit (root), 0);
}
END_TEST

START_TEST (test_damaged)
{
  put ("/proc/meminfo", "MemTotal: none\n");
  put ("/proc/self/cgroup", "0::\n::\nmemory\n\n4:memory:relative\n");
  put ("/sys/fs/cgroup/memory.max", "a lot\n");
  ck_assert_uint_eq (afp_memory_get_limit (root), 0);
}
END_TEST

START_TEST (test_here)
{
  ck_assert_uint_gt (afp_memory_get_default_budget (), 1 << 20);
  ck_assert_uint_gt (afp_memory_get_peak_rss (), 1 << 16);
}
END_TEST

static TCase *
make_limits (void)
{
  TCase *tcase = tcase_create ("limits");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_machine);
  tcase_add_test (tcase, test_group_v2);
  tcase_add_test (tcase, test_group_v2_of_a_parent);
  tcase_add_test (tcase, test_group_v2_root);
  tcase_add_test (tcase, test_group_v1);
  tcase_add_test (tcase, test_group_without_limit);
  tcase_add_test (tcase, test_nothing_known);
  tcase_add_test (tcase, test_damaged);
  tcase_add_test (tcase, test_here);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_limits };
  return run_suite ("memory", cases, G_N_ELEMENTS (cases));
}
